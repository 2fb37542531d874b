
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import registry.models
import registry.validators
import simple_history.models
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('vault', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalProvider',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('name', models.CharField(db_index=True, max_length=64, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$', 'Letters, digits and . _ : / @ + - only, beginning with a letter or a digit.', code='characters')])),
                ('type', models.CharField(choices=[('openai', 'OpenAI'), ('anthropic', 'Anthropic'), ('vllm', 'vLLM or another OpenAI-compatible server'), ('echo', 'Echo (built in, for trying out)')], max_length=32)),
                ('base_url', models.CharField(blank=True, help_text='With or without /v1. Empty: the public address of this type.', max_length=500, validators=[registry.validators.validate_base_url], verbose_name='base URL')),
                ('enabled', models.BooleanField(default=True)),
                ('connect_timeout', models.FloatField(default=5.0, help_text='Seconds to reach the provider.', validators=[registry.validators.validate_seconds])),
                ('first_byte_timeout', models.FloatField(default=120.0, help_text='Seconds until it begins to answer.', validators=[registry.validators.validate_seconds])),
                ('idle_timeout', models.FloatField(default=60.0, help_text='Seconds of silence within an answer.', validators=[registry.validators.validate_seconds])),
                ('total_timeout', models.FloatField(default=600.0, help_text='Seconds for the whole answer.', validators=[registry.validators.validate_seconds])),
                ('extra_headers', models.JSONField(blank=True, default=dict, help_text='Sent with every call, such as {"X-Team": "search"}. Not for secrets.', validators=[registry.validators.validate_extra_headers])),
                ('note', models.TextField(blank=True)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('secret', models.ForeignKey(blank=True, db_constraint=False, help_text='The key, kept in the vault.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='vault.secret')),
            ],
            options={
                'verbose_name': 'historical provider',
                'verbose_name_plural': 'historical providers',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='LoadedRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('provider', 'Provider'), ('model', 'Model')], max_length=16)),
                ('name', models.CharField(max_length=200)),
                ('values', models.JSONField(help_text='Field by field as the file gave it, without secrets.')),
                ('loaded_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('kind', 'name'), name='loaded_row_is_said_once')],
            },
        ),
        migrations.CreateModel(
            name='Provider',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$', 'Letters, digits and . _ : / @ + - only, beginning with a letter or a digit.', code='characters')])),
                ('type', models.CharField(choices=[('openai', 'OpenAI'), ('anthropic', 'Anthropic'), ('vllm', 'vLLM or another OpenAI-compatible server'), ('echo', 'Echo (built in, for trying out)')], max_length=32)),
                ('base_url', models.CharField(blank=True, help_text='With or without /v1. Empty: the public address of this type.', max_length=500, validators=[registry.validators.validate_base_url], verbose_name='base URL')),
                ('trusted_base_url', models.CharField(blank=True, editable=False, help_text='The base URL that a configuration file or command set; only that one may be a private address.', max_length=500)),
                ('enabled', models.BooleanField(default=True)),
                ('connect_timeout', models.FloatField(default=5.0, help_text='Seconds to reach the provider.', validators=[registry.validators.validate_seconds])),
                ('first_byte_timeout', models.FloatField(default=120.0, help_text='Seconds until it begins to answer.', validators=[registry.validators.validate_seconds])),
                ('idle_timeout', models.FloatField(default=60.0, help_text='Seconds of silence within an answer.', validators=[registry.validators.validate_seconds])),
                ('total_timeout', models.FloatField(default=600.0, help_text='Seconds for the whole answer.', validators=[registry.validators.validate_seconds])),
                ('extra_headers', models.JSONField(blank=True, default=dict, help_text='Sent with every call, such as {"X-Team": "search"}. Not for secrets.', validators=[registry.validators.validate_extra_headers])),
                ('note', models.TextField(blank=True)),
                ('secret', models.ForeignKey(blank=True, help_text='The key, kept in the vault.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='providers', to='vault.secret')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Model',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(help_text='What callers send as `model`.', max_length=200, unique=True, validators=[registry.validators.validate_public_id], verbose_name='id')),
                ('name', models.CharField(max_length=200, verbose_name='name at the provider')),
                ('weight', models.FloatField(default=50.0, help_text='Higher is preferred.', validators=[registry.validators.validate_finite])),
                ('cost_per_1k', models.DecimalField(decimal_places=9, default=Decimal('0'), help_text='US dollars for 1,000 tokens; the score is weight - cost per 1k * 10.', max_digits=14, validators=[django.core.validators.MinValueValidator(0)], verbose_name='cost per 1k')),
                ('input_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('output_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('cache_read_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('cache_write_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('context_size', models.PositiveIntegerField(help_text='Tokens of input and output together.', validators=[django.core.validators.MinValueValidator(1)])),
                ('max_output_tokens', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('capabilities', models.JSONField(default=registry.models.default_capabilities, validators=[registry.models.validate_capabilities])),
                ('aliases', models.JSONField(blank=True, default=list, help_text='Further names; models may share one.', validators=[registry.validators.validate_aliases])),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='models', to='registry.provider')),
            ],
            options={
                'ordering': ['public_id'],
            },
        ),
        migrations.CreateModel(
            name='HistoricalModel',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('public_id', models.CharField(db_index=True, help_text='What callers send as `model`.', max_length=200, validators=[registry.validators.validate_public_id], verbose_name='id')),
                ('name', models.CharField(max_length=200, verbose_name='name at the provider')),
                ('weight', models.FloatField(default=50.0, help_text='Higher is preferred.', validators=[registry.validators.validate_finite])),
                ('cost_per_1k', models.DecimalField(decimal_places=9, default=Decimal('0'), help_text='US dollars for 1,000 tokens; the score is weight - cost per 1k * 10.', max_digits=14, validators=[django.core.validators.MinValueValidator(0)], verbose_name='cost per 1k')),
                ('input_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('output_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('cache_read_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('cache_write_per_1k', models.DecimalField(blank=True, decimal_places=9, max_digits=14, null=True, validators=[django.core.validators.MinValueValidator(0)])),
                ('context_size', models.PositiveIntegerField(help_text='Tokens of input and output together.', validators=[django.core.validators.MinValueValidator(1)])),
                ('max_output_tokens', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('capabilities', models.JSONField(default=registry.models.default_capabilities, validators=[registry.models.validate_capabilities])),
                ('aliases', models.JSONField(blank=True, default=list, help_text='Further names; models may share one.', validators=[registry.validators.validate_aliases])),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('history_id', models.AutoField(primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.CharField(max_length=100, null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('provider', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='registry.provider')),
            ],
            options={
                'verbose_name': 'historical model',
                'verbose_name_plural': 'historical models',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Stamp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='stamp_is_one_row')],
            },
        ),
        migrations.AddConstraint(
            model_name='provider',
            constraint=models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='provider_has_a_name', violation_error_message='A provider needs a name.'),
        ),
        migrations.AddConstraint(
            model_name='provider',
            constraint=models.CheckConstraint(condition=models.Q(('type__in', ['openai', 'anthropic', 'vllm', 'echo'])), name='provider_type_is_known', violation_error_message='The type is unknown.'),
        ),
        migrations.AddConstraint(
            model_name='provider',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('type', 'vllm'), _negated=True), models.Q(('base_url', ''), _negated=True), _connector='OR'), name='provider_says_where_it_lives', violation_error_message='A provider of this type needs the URL where it lives.'),
        ),
        migrations.AddConstraint(
            model_name='provider',
            constraint=models.CheckConstraint(condition=models.Q(('connect_timeout__gt', 0), ('first_byte_timeout__gt', 0), ('idle_timeout__gt', 0), ('total_timeout__gt', 0)), name='provider_timeouts_are_positive', violation_error_message='Every timeout is more than 0 seconds.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('public_id', ''), _negated=True), models.Q(('public_id', 'auto'), _negated=True)), name='model_has_an_id', violation_error_message='A model needs an id, other than auto, which lets the router choose.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='model_has_a_name', violation_error_message='A model needs its name at the provider.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('context_size__gte', 1)), name='model_has_a_context', violation_error_message='The context size is at least 1 token.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('max_output_tokens__isnull', True), ('max_output_tokens__gte', 1), _connector='OR'), name='model_can_answer', violation_error_message='The most output is at least 1 token.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('cost_per_1k__gte', 0)), name='model_cost_is_not_negative', violation_error_message='The cost is not negative.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('input_per_1k__isnull', True), ('input_per_1k__gte', 0), _connector='OR'), name='model_input_per_1k_is_not_negative', violation_error_message='A price is not negative.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('output_per_1k__isnull', True), ('output_per_1k__gte', 0), _connector='OR'), name='model_output_per_1k_is_not_negative', violation_error_message='A price is not negative.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('cache_read_per_1k__isnull', True), ('cache_read_per_1k__gte', 0), _connector='OR'), name='model_cache_read_per_1k_is_not_negative', violation_error_message='A price is not negative.'),
        ),
        migrations.AddConstraint(
            model_name='model',
            constraint=models.CheckConstraint(condition=models.Q(('cache_write_per_1k__isnull', True), ('cache_write_per_1k__gte', 0), _connector='OR'), name='model_cache_write_per_1k_is_not_negative', violation_error_message='A price is not negative.'),
        ),
    ]
