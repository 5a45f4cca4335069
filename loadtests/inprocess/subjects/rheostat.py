"""Rheostat: the client with a bootstrap, as an application holds it. Without a server nothing is counted."""

from loadtests.inprocess.cases import COUNTRIES, LEAST_VERSION, RULES, SUFFIX, Run, User, shares

from rheostat import Context, Rheostat
from rheostat.model.flag import Answer, Condition, Flag, FlagType, Operator, Rollout, Rule
from rheostat.model.snapshot import FORMAT, Snapshot

PACKAGES = ("mmh3", "msgspec")


def snapshot(count: int) -> Snapshot:
    """Return the flags as an environment serves them."""
    return Snapshot(
        format=FORMAT,
        generation=1,
        revision=1,
        project="default",
        environment="production",
        flags=(*(_share(key) for key in shares(count)), rules()),
    )


def _share(key: str) -> Flag:
    rollout = Rollout(exposure_ppm=500_000, split={"on": 1.0}, salt=key, fallback="off")
    return _flag(key, (), Answer(rollout=rollout))


def rules(key: str = RULES) -> Flag:
    """Return the flag with three rules."""
    named: dict[str, tuple[str, Operator, tuple[str, ...]]] = {
        "list": ("country", Operator.IN, COUNTRIES),
        "version": ("version", Operator.SEMVER_GE, (LEAST_VERSION,)),
        "suffix": ("email", Operator.ENDS_WITH, (SUFFIX,)),
    }
    made = tuple(
        Rule(
            name=name,
            when=Condition(attribute=attribute, operator=operator, values=values),
            answer=Answer(serve="on"),
        )
        for name, (attribute, operator, values) in named.items()
    )
    return _flag(key, made, Answer(serve="off"))


def _flag(key: str, made: tuple[Rule, ...], default: Answer) -> Flag:
    return Flag(
        key=key,
        type=FlagType.BOOLEAN,
        variants={"on": True, "off": False},
        version=1,
        enabled=True,
        off_variant="off",
        rules=made,
        default=default,
    )


class Subject:
    """A client that answers from a bootstrap."""

    def __init__(self, client: Rheostat) -> None:
        self._boolean = client.boolean

    def one_flag(self, key: str, users: list[User]) -> Run:
        boolean, contexts = self._boolean, [context_of(user) for user in users]
        return lambda: [boolean(key, False, context) for context in contexts]

    def all_flags(self, keys: list[str], user: User) -> Run:
        boolean, context = self._boolean, context_of(user)
        return lambda: [boolean(key, False, context) for key in keys]


def context_of(user: User) -> Context:
    """Return the user in our own type."""
    return Context.of(user.key, user.attributes)


def load(count: int) -> Subject:
    """Return the subject with so many flags."""
    client = Rheostat(bootstrap=snapshot(count))
    client.wait_until_ready()
    return Subject(client)
