"""What the admin pages of teams' rows have in common: leads see those of their own teams, others see all or none."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.models import Budget, Team
from registry.row_admin import RowAdmin


def sees_all(request: HttpRequest) -> bool:
    """Whether somebody manages every team, not only those that they lead."""
    return request.user.has_perm("accounts.all_teams")


def led_by(request: HttpRequest) -> list[int]:
    """Return the teams that somebody leads."""
    return list(Team.objects.filter(leads=request.user.pk).order_by("pk").values_list("pk", flat=True))


def teams_of(request: HttpRequest) -> list[int] | None:
    """Return the teams whose rows somebody sees; None for all."""
    return None if sees_all(request) else led_by(request)


class SeesOwnTeams(admin.ModelAdmin[Any]):
    """Rows of teams, of which leads see their own; `team_field` leads from a row to its team, empty for the team."""

    team_field = "team"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return what somebody may see."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows if sees_all(request) else self.led(request, rows)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission, and for the team."""
        return super().has_view_permission(request, obj) and self._is_of_own(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission, and for the team."""
        return super().has_change_permission(request, obj) and self._is_of_own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission, and for the team."""
        return super().has_delete_permission(request, obj) and self._is_of_own(request, obj)

    def led(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the teams that somebody leads."""
        teams = Team.objects.filter(leads=request.user.pk)
        return rows.filter(**{f"{self.team_field or 'id'}__in": teams.values("pk")})

    def _is_of_own(self, request: HttpRequest, obj: Model | None) -> bool:
        if obj is None or sees_all(request):
            return True
        team = getattr(obj, f"{self.team_field}_id") if self.team_field else obj.pk
        return Team.objects.filter(pk=team, leads=request.user.pk).exists()


class OfOwnTeams(SeesOwnTeams, RowAdmin):  # type: ignore[misc]  # which of them says what is as it was meant
    """Rows of teams, with their histories."""

    def get_history_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Return the old versions that somebody may see: those of rows of their teams, and of then."""
        versions: QuerySet[Any] = super().get_history_queryset(request, *args, **kwargs)
        return versions if sees_all(request) else self.led(request, versions)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Say what goes with rows: budgets go with their owner, whoever may delete that."""
        told, counts, lacking, protected = super().get_deleted_objects(objs, request)
        own = set() if self.model is Budget else {Budget._meta.verbose_name}  # noqa: SLF001 - Django's public name
        return told, counts, lacking - own, protected


class ReadOnly(admin.options.BaseModelAdmin[Any]):
    """Rows that nobody writes by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
