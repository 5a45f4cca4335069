"""HTTP for explanations."""

from typing import Any

from litestar import Router, post
from litestar.params import FromPath, RawBody

from rheostat.model.explanation import Explanation
from rheostat_server.access.model import Scope
from rheostat_server.evaluation.explain import ExplainService
from rheostat_server.web.decoding import Body
from rheostat_server.web.openapi import takes


class ExplainBody(Body, frozen=True):
    """Whom to explain a flag's answer for: ``targetingKey`` and attributes, as in an evaluation."""

    context: dict[str, Any]


def explain_routes(service: ExplainService) -> Router:
    """Return the route of explanations."""

    @post(
        "/projects/{project:str}/environments/{environment:str}/flags/{key:str}/explain",
        operation_class=takes(ExplainBody),
        status_code=200,
        # It changes nothing: a context does not fit into an address.
        scope=Scope.READ,
    )
    async def explain_flag(
        project: FromPath[str], environment: FromPath[str], key: FromPath[str], body: RawBody
    ) -> Explanation:
        """Explain what a flag gives a context, step by step."""
        return service.explain(project, environment, key, body)

    return Router("/", route_handlers=[explain_flag], tags=["flags"])
