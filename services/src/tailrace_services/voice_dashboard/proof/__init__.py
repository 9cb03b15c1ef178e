"""The Voice Dashboard as a subject of the proof: what is asked of it, by whom, and who writes meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.verify.client import Request
from tailrace_services.prove.subject import Endpoint, Simulator, Subject
from tailrace_services.voice_dashboard.data import DATA
from tailrace_services.voice_dashboard.importer import import_campaign
from tailrace_services.voice_dashboard.proof.customers import Customer, load_customers
from tailrace_services.voice_dashboard.proof.outage import outage
from tailrace_services.voice_dashboard.proof.writes import CustomerWriter, sql_write

__all__ = ["SUBJECT"]


def _get(name: str, path: str) -> Callable[[Customer, int], Request]:
    """Asks for a page of the customer's; ``{agent}`` in its path is one of their agents."""

    def request(customer: Customer, number: int) -> Request:
        agent = customer.agents[number % len(customer.agents)]
        return Request(name, path.format(agent=agent), headers=customer.headers)

    return request


def _endpoint(
    name: str, path: str, *, asked: float, share: float, cold: float | None = None, warm: float | None = None
) -> Endpoint:
    return Endpoint(name, _get(name, path), asked, share, cold, warm)


SUBJECT = Subject(
    data=DATA,
    endpoints=(
        _endpoint("overview", "/api/dashboard/overview", asked=2000, share=0.50, cold=15, warm=2),
        _endpoint("analytics", "/api/dashboard/analytics?days=7", asked=2000, share=0.20, cold=25, warm=2),
        _endpoint("agents", "/api/agents", asked=1000, share=0.15, cold=260, warm=2),
        _endpoint("agent", "/api/agents/{agent}", asked=1000, share=0.07, warm=2),
        _endpoint("configuration", "/api/agents/{agent}/configuration", asked=1000, share=0.03, warm=2),
        _endpoint("credits", "/api/billing/credits", asked=1000, share=0.05),
    ),
    load_people=load_customers,
    sql_write=sql_write,
    reference="tailrace_services.voice_dashboard.proof.reference:create_reference_app",
    reference_indexes={"prove_reference": "calls (agent_id, created_at)"},
    ready="/api/billing/credits",
    new_writer=CustomerWriter,
    hit_ratios=(0.80, 0.95),
    notes=("the voice provider takes 200 ms a call while times are measured",),
    simulator=Simulator(
        "tailrace_services.voice_dashboard.provider.simulator:Simulator",
        lambda url: {"TAILRACE_SERVICES_PROVIDER_URL": url},
        latency_ms=200,
    ),
    import_file=lambda url, file, progress: import_campaign(url, file, progress=progress),
    phases={"outage": outage},
)
