"""The addresses of the site: the admin for people, the gateway for programs."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "TokenHub"
admin.site.index_title = "Registry and vault"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("", include("gateway.urls")),
    path("admin/", admin.site.urls),
]
