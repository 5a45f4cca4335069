"""What a server that has started tells people. Pure."""

from rheostat_server.access.seed import Seeded


def welcome(*, url: str, where: str, seeded: Seeded, command: str) -> str:
    """Return the lines to print. ``command`` is how people here call ``rheostat``, ``where`` says where the data is."""
    lines = [f"Rheostat runs at {url}", f"  data     {where}", f"  API      {url}/docs"]
    if seeded.first_start:
        token, key = seeded.admin_token, seeded.sdk_key
        lines += [
            "",
            "Made at this first start, shown once (they are stored hashed):",
            f"  admin token               {token}",
            f"  SDK key of production     {key}",
            "",
            "Try, in another terminal:",
            f"  export RHEOSTAT_URL={url} RHEOSTAT_TOKEN={token}",
            f"  {command} flag create my-flag",
            f"  curl -s {url}/ofrep/v1/evaluate/flags/my-flag -H 'Authorization: Bearer {key}' \\",
            """      -H 'Content-Type: application/json' -d '{"context": {"targetingKey": "user-1"}}'""",
            f"  {command} ramp start my-flag",
        ]
    else:
        lines += ["", f"Lost the admin token? {command} token reset"]
    lines += [f"Note: {note}." for note in seeded.notes]
    lines += ["", "Ctrl-C stops it."]
    return "\n".join(lines)
