"""Golden scripts: a cluster moved by hand, in a file that a person can read and hold against the paper.

A line beginning with `>` is a command, `#` a comment; all other lines are what the command above them made happen.
`python -m tests.raft.script --rewrite` writes those anew: then read the difference, every line of it.

    > cluster 3              members 1 to 3; `blank`: nobody has met anybody; `append_bytes_max=200`: Settings
    > join 4                 a blank machine
    > tick 1 400             on member 1 (`1,2`; `all`) 400 ms pass, by 60 at most
    > campaign 1             ticks until member 1 asks for votes
    > elect 1                campaigns, and all messages are delivered; not shown      > win 1    only its votes are
    > propose 1 x y          one batch; x:9000 is a command of about 9,000 bytes  > read 1 7  (7 names the read)
    > ask 3 7                read 7 comes to member 3, which asks for it in its term   > reach 1 7   that arrives at 1
    > level 1 2              member 1 comes back with a program of level 2
    > add 1 4 [learner]      > remove 1 3    > promote 1 4 [now]    > transfer 1 [2]   asked of member 1
    > deliver                all messages, and what they bring forth, until the network is quiet
    > deliver 1->2 [n]       what lies on that link now (the first n); answers stay in the network
    > drop [1->2]            > keep M 1->2   take the first message there aside   > again M   it arrives (once more)
    > send RequestVote 3->1 term=9 ...    a message made up by hand arrives (snapshot=3: of the sender's log up to 3)
    > cut 1->2 | cut 1       one direction; a member from all others              > heal
    > slow 1                 its disk syncs only at `persist 1 [n]` (n Readys)    > fast 1
    > crash 1                loses what is not synced                             > restart 1
    > unreachable 1 2        the transport tells member 1 that its append (or snapshot) to 2 failed
    > compact 1 [5]          all that 1 has applied (up to 5) is in a snapshot from now on
    > garble 1->2            the snapshot called for there arrives, but not all of its data
    > run 1000               for so long all works by itself, 20 ms a step; messages and writes are not shown
    > show                   everybody's log          > progress 1   what leader 1 knows of the others

Member n's election timeout is 300 + 30 n ms, always.  A message is shown where it is sent (indented), or, where a
`deliver` takes everything along, where it arrives.
"""

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from raft.core.configuration import AddMember, Change, Configuration, Member, PlanPromotion, PromoteMember, RemoveMember
from raft.core.node import Ready, Role, Settings
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    InstallSnapshot,
    Message,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
    TimeoutNowReply,
)
from raft.errors import RaftError
from tests.raft.formatting import format_entry, format_hard_state, format_members, format_message, format_snapshot
from tests.raft.machines import Link, Machine, Machines

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
DELIVERIES_MAX = 500  # a network that is not quiet after so many never will be
STEP_MS = 20

_BY_NAME: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        RequestVote,
        RequestVoteReply,
        AppendEntries,
        AppendEntriesReply,
        InstallSnapshot,
        TimeoutNow,
        TimeoutNowReply,
    )
}


class Fixed:
    """Chance as a script needs it: none."""

    def __init__(self, id: int) -> None:
        self._id = id

    def uniform(self, a: float, b: float, /) -> float:
        return a + (b - a) * self._id / 10

    def getrandbits(self, k: int, /) -> int:
        return 0xC0FFEE


class Script:
    """Runs commands on one cluster; `run` gives the lines that a command made."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._kept: dict[str, Message] = {}
        self._asked: set[int] = set()  # who asked for votes in this command
        self._seen: dict[int, tuple[str, ...]] = {}
        self._settling = False
        self._show_messages = True
        self._cluster = Machines(0, Fixed)

    def run(self, command: str) -> list[str]:
        """Carry out one command."""
        name, *words = command.split()
        self._lines = []
        self._asked.clear()
        try:
            getattr(self, f"_do_{name}")(*words)
        except RaftError as error:
            self._say(f"  refused: {type(error).__name__}{f' {error.code}' if hasattr(error, 'code') else ''}: {error}")
        return self._lines

    # Commands

    def _do_cluster(self, size: str, *words: str) -> None:
        ids = range(1, int(size) + 1)
        strangers = Configuration({id: Member(id, f"http://{id}", True) for id in ids}) if "blank" in words else None
        settings = Settings(**{word.partition("=")[0]: int(word.partition("=")[2]) for word in words if "=" in word})
        self._cluster = Machines(int(size), Fixed, settings, strangers)
        self._cluster.on_ready = self._ready
        self._cluster.on_sent = self._sent
        self._seen = {machine.id: _leader_state(machine) for machine in self._cluster.up}

    def _do_join(self, id: str) -> None:
        self._cluster.join(int(id))
        self._seen[int(id)] = _leader_state(self._cluster.machines[int(id)])

    def _do_tick(self, ids: str, ms: str) -> None:
        for id in self._ids(ids):
            self._tick(id, float(ms))

    def _do_campaign(self, id: str) -> None:
        machine = self._cluster.machines[int(id)]
        for _ in range(20):
            if machine.id in self._asked or machine.running.role is Role.LEADER:
                return
            self._tick(machine.id, 60)
        self._say("  never asked for votes")

    def _do_elect(self, id: str) -> None:
        self._show_messages = False
        self._do_campaign(id)
        self._settle()
        self._show_messages = True

    def _do_win(self, id: str) -> None:
        self._show_messages = False
        self._do_campaign(id)
        while votes := [m for m in self._cluster.network if isinstance(m, RequestVote | RequestVoteReply)]:
            self._arrive(votes[0])
        self._show_messages = True

    def _do_propose(self, id: str, *texts: str) -> None:
        self._cluster.propose(int(id), *(_stretched(text) for text in texts))

    def _do_read(self, id: str, token: str) -> None:
        self._cluster.read(int(id), int(token))

    def _do_ask(self, follower: str, token: str) -> None:
        self._cluster.ask(int(follower), int(token))

    def _do_reach(self, id: str, token: str) -> None:
        self._cluster.reach(int(id), int(token))

    def _do_level(self, id: str, level: str) -> None:
        machine = self._cluster.machines[int(id)]
        self._cluster.crash(machine.id)
        machine.level = int(level)
        self._do_restart(id)
        self._cluster.act(machine.id, lambda node: node.identified(machine.id, f"i{machine.id}", "", machine.level))

    def _do_add(self, id: str, member: str, learner: str = "") -> None:
        self._change(id, AddMember(int(member), f"http://{member}", not learner))

    def _do_remove(self, id: str, member: str) -> None:
        self._change(id, RemoveMember(int(member)))

    def _do_promote(self, id: str, member: str, now: str = "") -> None:
        self._change(id, PromoteMember(int(member)) if now else PlanPromotion(int(member)))

    def _change(self, id: str, change: Change) -> None:
        now = int(self._cluster.machines[int(id)].now_ms * 1000)
        self._cluster.act(int(id), lambda node: node.change_membership(change, now))

    def _do_transfer(self, id: str, target: str = "0") -> None:
        chosen = self._cluster.act(int(id), lambda node: node.transfer_leadership(int(target)))
        self._say(f"  to {chosen}")

    def _do_unreachable(self, id: str, member: str) -> None:
        self._cluster.act(int(id), lambda node: node.unreachable(int(member)))

    def _do_compact(self, id: str, index: str = "0") -> None:
        self._say(f"  {format_snapshot(self._cluster.compact(int(id), int(index)))}")

    def _do_garble(self, link: str) -> None:
        message = next(m for m in self._on(link) if isinstance(m, InstallSnapshot))
        self._cluster.network.remove(message)
        self._cluster.act(message.target, lambda node: node.step(message))

    def _do_deliver(self, link: str = "", count: str = "") -> None:
        if link:
            for message in self._on(link)[: int(count) if count else None]:
                self._arrive(message)
            return
        self._settle()

    def _settle(self) -> None:
        """Deliver until nothing is left; each message is told where it arrives."""
        self._settling = True
        for _ in range(DELIVERIES_MAX):
            if not self._cluster.network:
                break
            self._arrive(self._cluster.network[0])
        else:
            self._say("  and so on for ever")
        self._settling = False

    def _do_drop(self, link: str = "") -> None:
        dropped = self._on(link) if link else self._cluster.network
        self._cluster.network = [message for message in self._cluster.network if message not in dropped]

    def _do_keep(self, name: str, link: str) -> None:
        self._kept[name] = message = self._on(link)[0]
        self._cluster.network.remove(message)
        self._say(f"  {format_message(message)}")

    def _do_again(self, name: str) -> None:
        self._hand_over(self._kept[name])

    def _do_send(self, name: str, link: str, *words: str) -> None:
        source, target = _link(link)
        cls = _BY_NAME[name]
        values: dict[str, Any] = {"source": source, "target": target}
        hints = get_type_hints(cls)
        for field in fields(cls):
            if field.name not in values and field.name != "snapshot":
                values[field.name] = () if field.name == "entries" else hints[field.name](0)
        for key, value in (word.split("=") for word in words):
            made_by = self._cluster.machines[source].meta
            values[key] = made_by(int(value)) if key == "snapshot" else hints[key](int(value))
        self._hand_over(cls(**values))

    def _do_cut(self, what: str) -> None:
        others = self._cluster.machines
        around = (link for id in others for link in ((id, int(what)), (int(what), id))) if "->" not in what else ()
        self._cluster.cut.update(around or (_link(what),))

    def _do_heal(self) -> None:
        self._cluster.cut.clear()

    def _do_slow(self, id: str) -> None:
        self._cluster.machines[int(id)].slow = True

    def _do_persist(self, id: str, count: str = "") -> None:
        self._cluster.persist(int(id), int(count) if count else None)

    def _do_fast(self, id: str) -> None:
        self._cluster.machines[int(id)].slow = False
        self._cluster.persist(int(id))

    def _do_crash(self, id: str) -> None:
        self._cluster.crash(int(id))

    def _do_restart(self, id: str) -> None:
        self._cluster.restart(int(id))
        machine = self._cluster.machines[int(id)]
        self._seen[machine.id] = _leader_state(machine)
        self._say(f"  {format_hard_state(machine.hard_state)}, log {_log(machine)}")

    def _do_run(self, ms: str) -> None:
        self._show_messages = False
        for _ in range(int(ms) // STEP_MS):
            for machine in list(self._cluster.up):
                self._cluster.tick(machine.id, STEP_MS)
            self._settle()
        self._show_messages = True

    def _do_show(self) -> None:
        for machine in self._cluster.machines.values():
            node = machine.node
            say = "down, on disk" if node is None else f"{node.role.value} in term {node.current_term},"
            upto = "" if node is None else f"; durable to {node.durable_index}, committed to {node.commit_index}"
            self._say(f"  {machine.id} {say} {_log(machine)}{upto}")

    def _do_progress(self, id: str) -> None:
        for member, known in self._cluster.machines[int(id)].running.progress.items():
            flying = ", append in flight" * known.in_flight
            self._say(f"  {member} holds up to {known.match_index}, {known.mode.value} from {known.next_index}{flying}")

    # How things move

    def _ids(self, ids: str) -> list[int]:
        return [m.id for m in self._cluster.up] if ids == "all" else [int(id) for id in ids.split(",")]

    def _tick(self, id: int, ms: float) -> None:
        """By a heartbeat at most: more is not credited to one tick."""
        heartbeat_ms = self._cluster.settings.heartbeat_ms
        while ms > 0:
            self._cluster.tick(id, min(ms, heartbeat_ms))
            ms -= heartbeat_ms

    def _on(self, link: str) -> list[Message]:
        return [m for m in self._cluster.network if (m.source, m.target) == _link(link)]

    def _arrive(self, message: Message) -> None:
        self._cluster.network.remove(message)
        self._hand_over(message)

    def _hand_over(self, message: Message) -> None:
        down = message.target not in (machine.id for machine in self._cluster.up)
        if self._show_messages:
            self._say(format_message(message) + " (nobody there)" * down)
        try:
            self._cluster.deliver(message)
        except RaftError as error:
            self._say(f"  {message.target} refuses it: {error}")

    # What is told

    def _say(self, line: str) -> None:
        self._lines.append(line)

    def _sent(self, message: Message, lost: bool) -> None:
        if self._show_messages and (lost or not self._settling):
            self._say(f"  {format_message(message)}{' (lost)' * lost}")

    def _ready(self, machine: Machine, ready: Ready) -> None:
        now = _leader_state(machine)
        for what, before in zip(now, self._seen.get(machine.id, now), strict=True):
            if what != before:
                self._say(f"  {machine.id} {what}")
        self._seen[machine.id] = now
        self._asked.update(m.source for m in (*ready.messages, *ready.messages_after) if isinstance(m, RequestVote))
        if ready.snapshot is not None:
            self._say(f"  {machine.id} installs {format_snapshot(ready.snapshot)}")
        if ready.hard_state is not None and self._show_messages:
            entries = "".join(f" {format_entry(entry)}" for entry in ready.entries)
            synced = ", not synced yet" if machine.slow else ""
            self._say(f"  {machine.id} writes {format_hard_state(ready.hard_state)}{entries and ' |'}{entries}{synced}")
        for token, index in ready.reads:
            self._say(f"  {machine.id} confirms read {token} at index {index}")
        for token in ready.reads_lost:
            self._say(f"  {machine.id} has lost read {token}")


def _leader_state(machine: Machine) -> tuple[str, ...]:
    """What is told of a member when it changes."""
    node = machine.running
    follows = f" of {node.leader_id}" if node.role is Role.FOLLOWER and node.leader_id else ""
    role = f"is {node.role.value}{follows} in term {node.current_term}"
    return role, f"goes by {format_members(node.configuration)}", f"has committed up to {node.commit_index}"


def _log(machine: Machine) -> str:
    log = machine.log if machine.node else machine.disk
    return " ".join(format_entry(entry) for entry in log) or "nothing"


def _stretched(text: str) -> str:
    size = text.partition(":")[2]
    return text.ljust(int(size)) if size else text


def _link(link: str) -> Link:
    source, target = link.split("->")
    return int(source), int(target)


def played(text: str) -> str:
    """The script with what happens now under each command."""
    return "".join(f"{line}\n" for line in _played_lines(text))


def _played_lines(text: str) -> Iterator[str]:
    script = Script()
    for line in text.splitlines():
        if line.startswith(">"):
            yield line
            yield from script.run(line[1:])
        elif not line or line.startswith("#"):
            yield line


def main(arguments: list[str]) -> int:
    """Play all scripts, or those named; 1 where one differs and is not to be rewritten."""
    rewrite = "--rewrite" in arguments
    names = [name for name in arguments if not name.startswith("-")]
    differs = 0
    for path in [Path(name) for name in names] or sorted(SCRIPTS.glob("*.txt")):
        text = path.read_text()
        now = played(text)
        if now != text:
            differs += 1
            sys.stdout.write(f"{path.name} {'is written anew' if rewrite else 'differs'}\n")
            if rewrite:
                path.write_text(now)
    return 1 if differs and not rewrite else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
