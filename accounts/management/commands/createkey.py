"""Makes a client key and prints it, alone on a line and this once."""

from argparse import ArgumentTypeError
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction
from django.utils import timezone

from accounts import durations, keys
from accounts.models import MICRO, ApiKey, Budget, Period, Scope, Team
from registry.keeper import one_line
from registry.models import Alias, Model
from vault.crypto import KeyProblem, Unopenable

_MOST_DOLLARS: Final = 10**9
_LIMITS: Final = {
    "rpm": ("60", "requests in any 60 seconds"),
    "tpm": ("100000", "tokens in any 60 seconds"),
    "concurrent": ("10", "requests at the same time"),
    "max_tokens": ("4096", "tokens of one answer"),
}


def _said(text: str) -> str:
    """Return a text of one line; raises `ArgumentTypeError` for an empty one, which is a slip and not "no bound"."""
    if not text.strip():
        raise ArgumentTypeError("it is empty: say what, or leave the option out")
    if not text.isprintable():
        raise ArgumentTypeError("it has characters that cannot be shown")
    return text.strip()


def _listed(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ArgumentTypeError("it names nothing, which would be no bound: say what, or leave the option out")
    return names


class Command(BaseCommand):
    """`createkey --name N [--team T] [--scopes A,B] [--models A,B] [--budget-usd 5] [--expires 90d]` and more."""

    help = "Make a client key. It is printed alone on stdout and never shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", type=_said, required=True, help="who uses it, and for what")
        parser.add_argument("--team", type=_said, help="the team that it belongs to; a new one is made")
        parser.add_argument(
            "--scopes", type=_listed, default=[], metavar="A,B", help=f"endpoints: {', '.join(Scope.values)}; all"
        )
        parser.add_argument(
            "--models", type=_listed, default=[], metavar="A,B", help="ids and aliases that it may use; all"
        )
        for name, (short, about) in _LIMITS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar=short, help=f"{about}; no bound")
        parser.add_argument("--budget-usd", type=Decimal, metavar="5", help="US dollars that it may spend; no bound")
        parser.add_argument("--budget-period", choices=Period.values, help="how long that is to last (monthly)")
        parser.add_argument("--log-content", action="store_true", help="keep prompts and answers, sealed; never kept")
        parser.add_argument(
            "--expires", type=_said, metavar="90d", help="30m, 12h, 90d, 2w or a day such as 2027-01-31; never"
        )

    def handle(self, **options: Any) -> None:
        try:
            with transaction.atomic():
                token = self._make(options)
        except ValidationError as error:
            faults = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
            raise CommandError(f"No key was made: {faults}") from None
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used, no key was made: {one_line(error)}") from None
        except (KeyProblem, Unopenable) as problem:
            raise CommandError(f"The vault cannot be used, no key was made: {problem}") from None
        self.stdout.write(token)

    def _make(self, options: dict[str, Any]) -> str:
        limits = {name: options[name] for name in _LIMITS}
        key = ApiKey(name=options["name"], scopes=options["scopes"], allowed_models=options["models"], **limits)
        key.log_content = options["log_content"]
        if options["team"]:
            key.team = self._team(options["team"])
        if options["expires"]:
            key.expires_at = self._moment(options["expires"])
        token = keys.issue(key)
        key.full_clean()
        key.save()
        if options["budget_usd"] is not None:
            self._budget(key, options["budget_usd"], options["budget_period"] or Period.MONTHLY)
        elif options["budget_period"]:
            raise CommandError("--budget-period: say how much, with --budget-usd.")
        for name in self._unknown(options["models"]):
            self.stderr.write(f"There is no model or alias {name} yet.")
        return token

    def _budget(self, key: ApiKey, dollars: Decimal, period: str) -> None:
        if not dollars.is_finite() or not 0 < dollars <= _MOST_DOLLARS or dollars * MICRO != int(dollars * MICRO):
            raise CommandError("--budget-usd: give dollars above 0, with at most six decimals.")
        Budget.objects.create(key=key, period=period, amount_micro=int(dollars * MICRO))

    def _team(self, name: str) -> Team:
        if found := Team.objects.filter(name=name).first():
            return found
        team = Team(name=name)
        team.full_clean()
        team.save()
        return team

    def _moment(self, text: str) -> Any:
        try:
            moment = durations.moment(text, timezone.now())
        except (ValueError, OverflowError) as error:
            raise CommandError(f"--expires: {error}.") from None
        if moment <= timezone.now():
            raise CommandError(f"--expires: {text} is over already.")
        return moment

    def _unknown(self, names: list[str]) -> list[str]:
        known = set(Alias.objects.values_list("name", flat=True))
        for public_id, aliases in Model.objects.values_list("public_id", "aliases"):
            known |= {public_id, *aliases}
        return [name for name in names if name not in known]
