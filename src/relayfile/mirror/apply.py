"""The way down: where the remote tree differs from base, the disk follows; or base does, when only the record lags.

Plan and intend in one transaction (`prepare`), execute and record afterwards (`carry_out`). The decisions are those
of `core.merge` and `core.safety`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from relayfile.core import merge, paths
from relayfile.mirror.guard import Guard
from relayfile.mirror.local import Survey
from relayfile.mirror.past import Decision
from relayfile.mirror.ports import (
    Body,
    Changed,
    Disk,
    Done,
    Lost,
    Place,
    Refused,
    Remove,
    Result,
    SetAside,
    Step,
    Twin,
    Unfit,
)
from relayfile.mirror.refusals import Refusal
from relayfile.mirror.state import State
from relayfile.mirror.supply import Supply
from relayfile.mirror.trees import UNKNOWN, Agreement, LocalState, Node
from relayfile.mirror.twins import Twins
from relayfile.model import Digest, Stat, TreePath, Version

BATCH_FILES: Final = 512
BATCH_BYTES: Final = 8 * 1024 * 1024
FETCH_FILES: Final = 512


@dataclass(frozen=True, slots=True)
class Batch:
    """What one cycle does on the disk: steps in order, and the row behind each.

    `wants` are bodies still to fetch, with their sizes. `full`: there is more to do than fitted in. `yields` are
    done before: the files that make way for a folder (`mirror.overlaps`).
    """

    steps: list[Step] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    yields: list[tuple[Remove | SetAside, Node]] = field(default_factory=list)
    wants: dict[Digest, int] = field(default_factory=dict)
    full: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch achieved. `copies` are the conflict copies it made: new files, so there is an edit to push;
    `yielded` the files that made way for a folder, so what was refused below it is work again; `merged` those with
    the edits of both sides, which are to push too; `unfit` contents were not where they should be, and are wanted;
    `reused` ones lay on this disk already.
    """

    files: int = 0
    size_bytes: int = 0
    copies: int = 0
    yielded: int = 0
    merged: int = 0
    unfit: int = 0
    reused: int = 0


class Apply:
    """Brings the disk to what was observed.

    `bodies` are the contents at hand, by digest: inline ones of the batches just observed and those fetched; they
    are dropped once nothing more can be done with them, and fetched again if they turn out to be needed. `lost` are
    those that cannot be had now, among them what the server does not have for us (R23).
    """

    def __init__(self, state: State, disk: Disk, guard: Guard, survey: Survey, host: str) -> None:
        self._state = state
        self._disk = disk
        self._guard = guard
        self._survey = survey
        self._host = host
        self._twins = Twins(state)
        self.bodies: dict[Digest, Body] = {}
        self.lost: dict[Digest, Lost] = {}

    def prepare(self, fresh: Sequence[TreePath], now_s: float) -> Batch:
        """What to do next, decided and intended; what needs no disk is agreed already.

        `fresh` are the paths just observed, whose bodies may be at hand.

        Durable: the place intents, once the surrounding transaction is.
        """
        halt = self._guard.review("local", now_s)
        supply = Supply(self.bodies, self.lost, self._twins.find)
        choice = _Choice(supply, self._read, halted=halt is not None)
        self._choose(choice, fresh)
        self._state.trees.record(choice.agreed, (), now_s)
        self._state.refusals.add(
            [Refusal(path, "down", why.code, why.reason, lasting=False) for path, why in choice.lost]
        )
        self._state.past.note(
            [
                *(Decision(one.path, "adopted", one.revision) for one in choice.agreed),
                *(Decision(path, "refused_here", None, why.reason, why.code) for path, why in choice.lost),
            ],
            now_s,
        )
        by_path = {node.path: node for node, _ in choice.decided}
        batch = Batch(wants=supply.wants, full=choice.full)
        batch.yields.extend(self._yields(now_s))
        copies = [(step.path, step.copy, node.revision) for step, node in batch.yields if isinstance(step, SetAside)]
        for trees, action in merge.order((node.trees, action) for node, action in choice.decided):
            node = by_path[trees.path]
            for step in self._steps(node, action, supply.body(trees.remote), now_s):
                batch.steps.append(step)
                batch.nodes.append(node)
                if isinstance(step, SetAside):
                    copies.append((step.path, step.copy, node.revision))
        self._state.intents.place((step.path, step.version) for step in batch.steps if isinstance(step, Place))
        self._state.conflicts.set_aside(copies, now_s)
        for digest in supply.spent:
            del self.bodies[digest]
        return batch

    def carry_out(self, batch: Batch, now_s: float) -> Tally:
        """The steps were tried, and what came of each is recorded with base and the local tree.

        Durable: the disk before the record, so that a row never says more than the disk holds (5-sync A.2).
        """
        if not batch.steps and not batch.yields:
            return Tally()
        results = self._disk.execute([*(step for step, _ in batch.yields), *batch.steps])
        with self._state.transaction():
            yielded, copies = self._record_yields(batch, results[: len(batch.yields)], now_s)
            tally = self._record(batch, results[len(batch.yields) :], now_s)
        return replace(tally, copies=tally.copies + copies, yielded=yielded)

    def settle_merges(self, placing: Mapping[TreePath, Version], now_s: float) -> None:
        """A merge that lies on the disk, but was not recorded, is the edit of theirs that it was meant to be.

        Merged once more, lines that stand in it several times might not be told apart.
        """
        merged = []
        for node in self._state.trees.nodes(placing):
            meant, local, theirs = placing[node.path], node.trees.local, node.trees.remote
            if not local or not theirs or theirs.revision != meant.revision:
                continue
            if local.digest == meant.digest != theirs.digest:
                merged.append(Agreement(node.path, node.revision, theirs))
        self._state.trees.record(merged, (), now_s)
        self._state.past.note([Decision(one.path, "merged", one.revision) for one in merged], now_s)

    def _read(self, node: Node) -> bytes | None:
        """The content of the local file; None when it is another by now, and is looked at again."""
        local, stat = node.trees.local, node.stat
        assert stat is not None, "there is something to merge"
        assert local is not None, "and it was read"
        body = self._disk.read(node.path, stat)
        if body is None or sha256(body).digest() != local.digest:
            self._survey.again[node.path] = "down"
            return None
        return body

    def _yields(self, now_s: float) -> Iterable[tuple[Remove | SetAside, Node]]:
        """What happens to each file that lies where the server has a folder too."""
        for node in self._state.trees.nodes(self._state.overlaps.in_the_way(BATCH_FILES)):
            local, stat = node.trees.local, node.stat
            assert stat is not None, "it lies there"
            assert local is not None, "and was read"
            if local.same_content(node.trees.remote) or local.same_content(node.trees.base):
                yield Remove(node.path, stat, node.old("made_way", node.revision)), node
            else:
                copy = paths.conflict_copy(node.path, self._host, now_s, local.digest)
                yield SetAside(node.path, stat, copy), node

    def _choose(self, choice: "_Choice", fresh: Sequence[TreePath]) -> None:
        """Work in the order of the log, as much as fits; past rows that wait for their bodies, the fresh ones."""
        after = (-1, "")
        while page := self._state.trees.down(after, BATCH_FILES):
            after = (page[-1].revision, page[-1].path)
            for node in page:
                choice.consider(node)
                if choice.full:
                    return
            if len(page) < BATCH_FILES:
                return
            if len(choice.supply.wants) >= FETCH_FILES:
                break
        chosen = {node.path for node, _ in choice.decided}
        for node in self._state.trees.down_among(path for path in fresh if path not in chosen):
            choice.consider(node)
            if choice.full:
                return

    def _steps(self, node: Node, action: merge.Action, body: Body, now_s: float) -> Iterable[Step]:
        local, stat = node.trees.local, node.stat
        match action:
            case merge.Download(version):
                yield Place(node.path, version, body, stat, node.old("replaced", node.revision))
            case merge.KeepBoth(version):
                assert stat is not None, "there is something to keep"
                assert local is not None, "and it was read"
                yield SetAside(node.path, stat, paths.conflict_copy(node.path, self._host, now_s, local.digest))
                yield Place(node.path, version, body, None)
            case merge.Combine(_, version, merged):
                yield Place(node.path, version, merged, stat, node.old("merged", node.revision))
            case merge.RemoveLocal():
                assert stat is not None, "there is something to remove"
                yield Remove(node.path, stat, node.old("deleted", node.revision))

    def _record(self, batch: Batch, results: Sequence[Result], now_s: float) -> Tally:
        agreed: list[Agreement] = []
        local: list[LocalState] = []
        refusals: list[Refusal] = []
        removed: list[Digest] = []
        done: list[Decision] = []
        copied = {step.copy for step in batch.steps if isinstance(step, SetAside)}
        files = size = copies = merged = unfit = reused = 0
        for step, node, result in zip(batch.steps, batch.nodes, results, strict=True):
            match result, step:
                case Changed(path), _:
                    if path not in copied:  # a copy that this very batch made: its row says so from now on
                        self._survey.again[path] = "down"
                    done.append(Decision(path, "moved_meanwhile", node.revision))
                case Unfit(path), Place(version=version, body=body):
                    self._look_again(body, version.digest)
                    done.append(Decision(path, "moved_meanwhile", node.revision))
                    unfit += 1
                case Refused(path, reason, lasting, code), _:
                    refusals.append(Refusal(path, "down", code, reason, lasting))
                    done.append(Decision(path, "refused_here", node.revision, reason, code))
                case Done(path, stat), Place(version=version):
                    combined = version != node.trees.remote
                    done.append(Decision(path, "merged" if combined else "placed", node.revision))
                    agreed.append(Agreement(path, node.revision, node.trees.remote))  # of a merge it is an edit
                    local.append(self._seen(path, stat, version.digest))
                    files, size = files + 1, size + version.size
                    merged += combined
                    reused += isinstance(step.body, Twin)
                    self._twins.gone(node.trees.local, path, node.stat)
                case Done(path), Remove():
                    done.append(Decision(path, "removed", node.revision))
                    agreed.append(Agreement(path, node.revision, None))
                    local.append(LocalState(path, None, None))
                    assert node.trees.local is not None, "it was removed"
                    removed.append(node.trees.local.digest)
                    self._twins.gone(node.trees.local, path, node.stat)
                case Done(path, stat), SetAside(copy=copy):
                    done.append(Decision(path, "set_aside", node.revision, copy))
                    assert node.trees.local is not None, "it was set aside"
                    local.append(LocalState(path, None, None))
                    local.append(self._seen(copy, stat, node.trees.local.digest))
                    copies += 1
        self._state.trees.record(agreed, local, now_s)
        self._state.refusals.clear_edited([one.path for one in local])
        self._state.refusals.add(refusals)
        self._state.intents.placed()
        self._state.past.note(done, now_s)
        if removed:
            self._state.brake.let_through("local", removed)
        return Tally(files + len(removed), size, copies, merged=merged, unfit=unfit, reused=reused)

    def _look_again(self, body: Body, digest: Digest) -> None:
        """This content did not lie where a step was told that it does."""
        self._twins.unfit(digest)
        if isinstance(body, Twin):
            self._survey.unstable.add(body.path)

    def _record_yields(self, batch: Batch, results: Sequence[Result], now_s: float) -> tuple[int, int]:
        """Base of what made way is "absent here"; how many did, and were set aside. The others stay listed.

        It is no deletion: the server keeps what was removed.
        """
        agreed: list[Agreement] = []
        local: list[LocalState] = []
        done: list[Decision] = []
        copies = 0
        for (step, node), result in zip(batch.yields, results, strict=True):
            if isinstance(result, Changed):
                self._survey.again[step.path] = "down"
            if not isinstance(result, Done):
                continue
            agreed.append(Agreement(step.path, node.revision, None))
            local.append(LocalState(step.path, None, None))
            copy = step.copy if isinstance(step, SetAside) else None
            done.append(Decision(step.path, "made_way", node.revision, copy))
            if isinstance(step, SetAside):
                assert node.trees.local is not None, "it was set aside"
                local.append(self._seen(step.copy, result.stat, node.trees.local.digest))
                copies += 1
        self._state.trees.record(agreed, local, now_s)
        self._state.past.note(done, now_s)
        for one in agreed:
            self._state.overlaps.made_way(one.path)
        return len(agreed), copies

    def _seen(self, path: TreePath, stat: Stat | None, digest: Digest) -> LocalState:
        """What a step left there; when it could not be told apart from a racing write, only a scan knows (R27)."""
        if stat is not None:
            return LocalState(path, stat, digest)
        self._survey.unstable.add(path)
        return LocalState(path, UNKNOWN, None)


class _Choice:
    """A batch while it is being filled, row by row."""

    def __init__(self, supply: Supply, read: Callable[[Node], bytes | None], *, halted: bool) -> None:
        self.supply = supply
        self._read = read
        self._halted = halted
        self._size = 0
        self.decided: list[tuple[Node, merge.Action]] = []
        self.agreed: list[Agreement] = []
        self.lost: list[tuple[TreePath, Lost]] = []

    @property
    def full(self) -> bool:
        """Whether the batch ends here (5-sync A.2)."""
        return len(self.decided) >= BATCH_FILES or self._size >= BATCH_BYTES or self.supply.short

    def consider(self, node: Node) -> None:
        """The row is decided: done in this batch, agreed without the disk, or left for a body or a person."""
        action = merge.decide(node.trees.base, node.trees.local, node.trees.remote)
        match self._merged(node, action) if isinstance(action, merge.KeepBoth) else action:
            case None:
                pass
            case merge.Combine(version=version) as combined:
                if version.same_content(node.trees.local):  # theirs is part of ours
                    self.agreed.append(Agreement(node.path, node.revision, node.trees.remote))
                else:
                    self.decided.append((node, combined))
                    self._size += version.size
            case merge.RemoveLocal():
                if not self._halted:
                    self.decided.append((node, action))
            case merge.Download(version) | merge.KeepBoth(version):
                if self.supply.has(version):
                    self.decided.append((node, action))
                    self._size += version.size
                elif version.digest in self.supply.lost:
                    self.lost.append((node.path, self.supply.lost[version.digest]))
            case _:  # only the record lags; or the way up is open once it does not
                self.agreed.append(Agreement(node.path, node.revision, node.trees.remote))

    def _merged(self, node: Node, action: merge.KeepBoth) -> merge.KeepBoth | merge.Combine | None:
        """Both edits in one where that can be; `action` where it cannot; None while one of the three is awaited."""
        base, local, theirs = node.trees.base, node.trees.local, action.theirs
        if base is None or local is None or not merge.mergeable(base, local, theirs):
            return action
        sides = [one for one in (base, theirs) if one.size]
        bodies = self.supply.bodies
        if any(one.digest in self.supply.lost for one in sides):
            return action
        if any(one.digest not in bodies for one in sides):
            # both, also the one at hand: bodies are not kept from turn to turn, and two that come apart never meet
            self.supply.wants.update({one.digest: one.size for one in sides})
            return None
        mine = self._read(node)
        if mine is None:
            return None
        before, there = bodies.get(base.digest, b""), bodies.get(theirs.digest, b"")
        assert isinstance(before, bytes) and isinstance(there, bytes), "what can be merged is small"  # noqa: PT018
        return merge.combine(base, local, theirs, (before, mine, there)) or action
