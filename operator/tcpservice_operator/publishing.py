"""What sidecars are told, made once for all of them: lines that many streams share.

Used by `discovery`. Each service is written once per change; pods that are told of the same services share a *topic*
and its lines. A stream holds nothing but how far it has got: one that was slow is given what it missed in one go, or,
where that is more than is kept, the whole again. So the slowest reader costs as much memory as the quickest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tcpservice import snapshot, updates
from tcpservice_operator.objects import Key
from tcpservice_operator.services import target_of
from tcpservice_operator.state import State
from tcpservice_operator.views import view_of

KEPT_LINES: Final = 32
"""Changes that a topic keeps for streams that are behind: those of the last three seconds, at the least."""


class _Told(Struct, frozen=True):
    """A service as it was told last, and the same as part of a line."""

    service: snapshot.Service
    part: bytes


class _Edit(Struct, frozen=True):
    """What happened to a service: it is told whole, or by a change, or it has gone (both None)."""

    whole: bytes | None = None
    change: bytes | None = None


class Topic:
    """What all pods are told that serve and call the same services."""

    def __init__(self, keys: frozenset[Key], told: Mapping[Key, _Told], revisions: Mapping[str, int]) -> None:
        self.keys = keys
        self.version = 1
        self.readers: set[Subscription] = set()
        self._told = told
        self._revisions = revisions
        self._lines: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._whole: bytes | None = None

    def add(self, edits: Mapping[Key, _Edit]) -> bool:
        """Take in what concerns these pods; return whether anything does."""
        mine = {key: edits[key] for key in edits.keys() & self.keys}
        if not mine:
            return False
        line = updates.join(
            self.version + 1,
            self._revisions,
            base=self.version,
            services=[edit.whole for edit in mine.values() if edit.whole is not None],
            changes=[edit.change for edit in mine.values() if edit.change is not None],
            gone=["/".join(key) for key, edit in mine.items() if edit.whole is None and edit.change is None],
        )
        self.version += 1
        self._lines.append(line)
        self._whole = None
        return True

    def whole(self) -> bytes:
        """Return the line that tells all."""
        if self._whole is None:
            parts = [self._told[key].part for key in sorted(self.keys) if key in self._told]
            self._whole = updates.join(self.version, self._revisions, services=parts)
        return self._whole

    def since(self, version: int) -> bytes:
        """Return the lines after a version; the whole where that is much shorter, or they are not kept any more."""
        missed = self.version - version
        if missed > len(self._lines):
            return self.whole()
        lines = list(self._lines)[len(self._lines) - missed :]
        return b"".join(lines) if sum(map(len, lines)) <= 2 * len(self.whole()) else self.whole()

    def heartbeat(self) -> bytes:
        """Return the line that says that nothing changed."""
        return updates.join(self.version, self._revisions, base=self.version)


class Subscription:
    """One stream: the pod, its topic, and how far it was told; `wake` is called when there is more to tell."""

    def __init__(self, pod: Key, wake: Callable[[], None]) -> None:
        self.pod = pod
        self.wake = wake
        self.topic: Topic | None = None
        self._told: int | None = None

    def move(self, topic: Topic | None) -> None:
        """Be told of other services from now on, beginning with the whole."""
        if self.topic is not None:
            self.topic.readers.discard(self)
        self.topic, self._told = topic, None
        if topic is not None:
            topic.readers.add(self)

    def take(self) -> bytes:
        """Return what is to be told now, the heartbeat where it was told all."""
        assert self.topic is not None
        told, self._told = self._told, self.topic.version
        if told is None:
            return self.topic.whole()
        return self.topic.heartbeat() if told == self.topic.version else self.topic.since(told)


class Publisher:
    """All topics, kept by `publish` after `touch`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: dict[Key, _Told] = {}
        self._topics: dict[frozenset[Key], Topic] = {}
        self._subscriptions: set[Subscription] = set()
        self._due: set[Key] = set()
        self._views = state.views

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return len(self._subscriptions)

    def touch(self, keys: Iterable[Key]) -> None:
        """Let these be looked at by the next `publish`."""
        self._due.update(keys)

    def subscribe(self, pod: Key, wake: Callable[[], None]) -> Subscription:
        """Begin a stream for a pod that was seen."""
        subscription = Subscription(pod, wake)
        self._subscriptions.add(subscription)
        self._place(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """End a stream."""
        self._subscriptions.discard(subscription)
        self._move(subscription, None)

    def publish(self) -> None:
        """Tell all streams what has changed since the last time."""
        due, self._due = self._due, set()
        edits = {key: edit for key in sorted(due) if (edit := self._look(key)) is not None}
        changed = [topic for topic in self._topics.values() if topic.add(edits)]
        for topic in changed:
            for subscription in topic.readers:
                subscription.wake()
        if self._views != self._state.views:
            self._views = self._state.views
            for subscription in self._subscriptions:
                self._place(subscription)

    def _look(self, key: Key) -> _Edit | None:
        """Compare a service with what was told of it; None where nothing changed.

        Replicas that nobody lists any more stay as they were told: either the Service that lists them is made again, or
        the TcpService itself goes, which may be heard a little later.
        """
        before = self._told.get(key)
        wanted = self._state.wanted.get(key)
        if wanted is None:
            return _Edit() if self._told.pop(key, None) is not None else None
        endpoints = self._state.endpoints_of(key)
        if endpoints is None:
            endpoints = before.service.endpoints if before is not None else ()
        target = target_of(wanted, self._state.services.get(key))
        app_port = target if isinstance(target, int) else None
        service = replace(wanted.policy, endpoints=endpoints, app_port=app_port)
        if before is not None and before.service == service:
            return None
        told = self._told[key] = _Told(service, updates.encode(service))
        change = updates.difference(before.service, service) if before is not None else None
        return _Edit(whole=told.part) if change is None else _Edit(change=updates.encode(change))

    def _place(self, subscription: Subscription) -> None:
        """Give a stream the topic of what its pod serves and calls now; a pod that has gone keeps the one it had."""
        pod = self._state.pod(subscription.pod)
        if pod is None:
            return
        keys = view_of(self._state, pod)
        if subscription.topic is not None and subscription.topic.keys == keys:
            return
        topic = self._topics.get(keys)
        if topic is None:
            topic = self._topics[keys] = Topic(keys, self._told, self._state.revisions)
        self._move(subscription, topic)
        subscription.wake()

    def _move(self, subscription: Subscription, topic: Topic | None) -> None:
        before = subscription.topic
        subscription.move(topic)
        if before is not None and not before.readers:
            self._topics.pop(before.keys, None)
