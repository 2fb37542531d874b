"""What an adapter is, and the way every provider that is reached over HTTP is called."""

from abc import ABC, abstractmethod
from collections.abc import Generator

from gateway.adapters.transport import Outgoing, Reply, Transport
from gateway.errors import ProviderFailure
from gateway.exchange import Delta, Finish, Request
from gateway.patience import Patience
from registry.snapshot import ModelFacts


class Adapter(ABC):
    """Speaks one language of providers. Adapters hold no state: everything they know comes with the call."""

    @abstractmethod
    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Delta | Finish]:
        """Yield the pieces of one answer and, at the end, one `Finish`; raises `ProviderFailure`.

        A whole answer is a stream of a single piece. The connection is closed however the iteration ends.
        """


class HttpAdapter(Adapter):
    """An adapter for a provider that is called with one POST."""

    def answer(
        self, request: Request, model: ModelFacts, patience: Patience, transport: Transport
    ) -> Generator[Delta | Finish]:
        """Send the request, then read the reply as a stream or as a whole, as it was asked for."""
        with transport.send(self.outgoing(request, model), model.provider, patience) as reply:
            if reply.status != 200:
                raise self.failure(reply, model)
            yield from self.read_stream(reply, request) if request.stream else self.read_whole(reply)

    @abstractmethod
    def outgoing(self, request: Request, model: ModelFacts) -> Outgoing:
        """Return the HTTP request that asks the provider's model."""

    @abstractmethod
    def failure(self, reply: Reply, model: ModelFacts) -> ProviderFailure:
        """Return what a reply other than 200 means."""

    @abstractmethod
    def read_stream(self, reply: Reply, request: Request) -> Generator[Delta | Finish]:
        """Yield the pieces of a streamed reply as they arrive."""

    @abstractmethod
    def read_whole(self, reply: Reply) -> Generator[Delta | Finish]:
        """Yield a whole reply as one piece."""
