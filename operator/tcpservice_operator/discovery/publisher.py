"""Makes the lines of the discovery streams, once for all streams that need them.

Used by `streams`. Each service is encoded once per change. Pods with the same view share a *topic* and its lines. A
stream stores only the version that it has reached. A slow stream gets the missed lines at once, or the whole topic if
the missed lines are no longer stored. So a slow reader costs no more memory than a fast one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tcpservice import snapshot, updates
from tcpservice_operator.api.plain_objects import Key
from tcpservice_operator.cache.cluster_state import ClusterState
from tcpservice_operator.cache.pod_views import view_of
from tcpservice_operator.cache.shared_ports import listening_for_others
from tcpservice_operator.cache.targets import target_of

KEPT_LINES: Final = 32
"""How many lines a topic stores for slow streams: at least those of the last three seconds."""


class _Pushed(Struct, frozen=True):
    """A service as it was pushed last, and its encoded form as a part of a line."""

    service: snapshot.Service
    part: bytes


class _Edit(Struct, frozen=True):
    """An edit of a service: the whole service, or a change, or its deletion (both None)."""

    whole: bytes | None = None
    change: bytes | None = None


class Topic:
    """The lines for all pods with the same view: `keys`, the services that they serve or call."""

    def __init__(self, keys: frozenset[Key], pushed: Mapping[Key, _Pushed], revisions: Mapping[str, int]) -> None:
        self.keys = keys
        self.version = 1
        self.readers: set[Subscription] = set()
        self._pushed = pushed
        self._revisions = revisions
        self._lines: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._whole: bytes | None = None

    def add(self, edits: Mapping[Key, _Edit]) -> bool:
        """Add a line for the edits of this topic's services; return whether there are any."""
        mine = {key: edits[key] for key in edits.keys() & self.keys}
        if not mine:
            return False
        self._add_line(
            services=[edit.whole for edit in mine.values() if edit.whole is not None],
            changes=[edit.change for edit in mine.values() if edit.change is not None],
            gone=["/".join(key) for key, edit in mine.items() if edit.whole is None and edit.change is None],
        )
        return True

    def become(self, keys: frozenset[Key]) -> bool:
        """Change the services of this topic; return whether there is a line to push.

        A TcpService that is new in a namespace is then one service for all callers, and not the whole topic for each.
        """
        new = [self._pushed[key].part for key in sorted(keys - self.keys) if key in self._pushed]
        gone = ["/".join(key) for key in sorted(self.keys - keys) if key in self._pushed]
        self.keys = keys
        if new or gone:
            self._add_line(services=new, gone=gone)
        return bool(new or gone)

    def _add_line(self, services: list[bytes], gone: list[str], changes: Iterable[bytes] = ()) -> None:
        self._lines.append(
            updates.join(
                self.version + 1, self._revisions, base=self.version, services=services, changes=changes, gone=gone
            )
        )
        self.version += 1
        self._whole = None

    def whole(self) -> bytes:
        """Return the line with all services of the topic."""
        if self._whole is None:
            parts = [self._pushed[key].part for key in sorted(self.keys) if key in self._pushed]
            self._whole = updates.join(self.version, self._revisions, services=parts)
        return self._whole

    def since(self, version: int) -> bytes:
        """Return the lines after a version, or the whole if it is much shorter or the lines are no longer stored."""
        missed = self.version - version
        if missed > len(self._lines):
            return self.whole()
        lines = list(self._lines)[len(self._lines) - missed :]
        return b"".join(lines) if sum(map(len, lines)) <= 2 * len(self.whole()) else self.whole()

    def heartbeat(self) -> bytes:
        """Return a line without changes."""
        return updates.join(self.version, self._revisions, base=self.version)


class Subscription:
    """One stream: its pod, its topic and the version pushed last. `wake` is called when there is more to push."""

    def __init__(self, pod: Key, wake: Callable[[], None]) -> None:
        self.pod = pod
        self.wake = wake
        self.topic: Topic | None = None
        self._pushed: int | None = None

    def move(self, topic: Topic | None) -> None:
        """Change the topic; the next line is then the whole topic."""
        if self.topic is not None:
            self.topic.readers.discard(self)
        self.topic, self._pushed = topic, None
        if topic is not None:
            topic.readers.add(self)

    def take(self) -> bytes:
        """Return the lines to push now; a heartbeat if everything was pushed."""
        assert self.topic is not None
        pushed, self._pushed = self._pushed, self.topic.version
        if pushed is None:
            return self.topic.whole()
        return self.topic.heartbeat() if pushed == self.topic.version else self.topic.since(pushed)


class Publisher:
    """All topics and subscriptions. `touch` marks services as changed, `publish` pushes the changes."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._pushed: dict[Key, _Pushed] = {}
        self._topics: dict[frozenset[Key], Topic] = {}
        self._subscriptions: dict[Key, set[Subscription]] = {}
        self._streams = 0
        self._due: set[Key] = set()

    @property
    def streams(self) -> int:
        """The number of streams."""
        return self._streams

    def touch(self, keys: Iterable[Key]) -> None:
        """Mark services as possibly changed, for the next `publish`."""
        self._due.update(keys)

    def subscribe(self, pod: Key, wake: Callable[[], None]) -> Subscription:
        """Begin a stream for a pod."""
        subscription = Subscription(pod, wake)
        self._subscriptions.setdefault(pod, set()).add(subscription)
        self._streams += 1
        self._move(subscription, self._topic(self._view(pod) or frozenset()))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a stream."""
        there = self._subscriptions[subscription.pod]
        there.discard(subscription)
        self._streams -= 1
        if not there:
            del self._subscriptions[subscription.pod]
        self._move(subscription, None)

    def publish(self) -> None:
        """Push the changes since the last call to all streams."""
        due, self._due = self._due, set()
        edits = {key: edit for key in sorted(due) if (edit := self._compare(key)) is not None}
        changed = [topic for topic in self._topics.values() if topic.add(edits)]
        for topic in changed:
            for subscription in topic.readers:
                subscription.wake()
        self._change_views(self._state.take_changed_views())

    def _compare(self, key: Key) -> _Edit | None:
        """Compare a service with its last pushed form; return None if nothing changed.

        If the TcpService has no EndpointSlice any more, its endpoints stay as they were pushed: either the Service
        `<name>-replicas` is created again, or the deletion of the TcpService follows shortly.
        """
        before = self._pushed.get(key)
        tcp_service = self._state.tcp_services.get(key)
        if tcp_service is None:
            return _Edit() if self._pushed.pop(key, None) is not None else None
        endpoints = self._state.endpoints_of(key)
        if endpoints is None:
            endpoints = before.service.endpoints if before is not None else ()
        target = target_of(tcp_service, self._state.services.get(key))
        app_port = target if isinstance(target, int) else None
        shared = listening_for_others(self._state, tcp_service)
        service = replace(tcp_service.policy, endpoints=endpoints, app_port=app_port, inbound_to_app=bool(shared))
        if before is not None and before.service == service:
            return None
        pushed = self._pushed[key] = _Pushed(service, updates.encode(service))
        change = updates.difference(before.service, service) if before is not None else None
        return _Edit(whole=pushed.part) if change is None else _Edit(change=updates.encode(change))

    def _change_views(self, pods: Iterable[Key]) -> None:
        """Give the streams of these pods the topics of their present views."""
        moves: dict[tuple[Topic, frozenset[Key]], list[Subscription]] = {}
        for pod in pods:
            for subscription in self._subscriptions.get(pod, ()):
                keys, topic = self._view(pod), subscription.topic
                if keys is not None and topic is not None and topic.keys != keys:
                    moves.setdefault((topic, keys), []).append(subscription)
        for (topic, keys), subscriptions in moves.items():
            if len(subscriptions) == len(topic.readers) and keys not in self._topics:
                self._topics[keys] = self._topics.pop(topic.keys)
                is_changed = topic.become(keys)
            else:
                is_changed = True
                for subscription in subscriptions:
                    self._move(subscription, self._topic(keys))
            for subscription in subscriptions if is_changed else ():
                subscription.wake()

    def _view(self, pod: Key) -> frozenset[Key] | None:
        """Return the view of a pod, None if the pod was deleted: its stream keeps its topic."""
        found = self._state.pod(pod)
        return view_of(self._state, found) if found is not None else None

    def _topic(self, keys: frozenset[Key]) -> Topic:
        topic = self._topics.get(keys)
        if topic is None:
            topic = self._topics[keys] = Topic(keys, self._pushed, self._state.revisions)
        return topic

    def _move(self, subscription: Subscription, topic: Topic | None) -> None:
        before = subscription.topic
        subscription.move(topic)
        if before is not None and not before.readers:
            self._topics.pop(before.keys, None)
