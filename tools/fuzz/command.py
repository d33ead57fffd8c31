"""The command line of the campaigns."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuzz.campaigns.campaign import Campaign, generator
from fuzz.campaigns.damaged_files import DamagedFiles
from fuzz.campaigns.full_disk import FullDisk
from fuzz.campaigns.kills import Kills
from fuzz.campaigns.layers import Layers
from fuzz.campaigns.names import Names
from fuzz.campaigns.paths import Paths
from fuzz.campaigns.sidecars import Sidecars
from fuzz.campaigns.text import Text
from fuzz.case import Case, load
from fuzz.minimize import minimized
from fuzz.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuzz.execution import Fault

CAMPAIGNS: dict[str, type[Campaign]] = {
    cls.name: cls for cls in (Text, Layers, DamagedFiles, Sidecars, Names, Paths, FullDisk)
}


@click.command(help="Feed netc with hostile input. Without NAME, list the campaigns.")
@click.argument("names", nargs=-1, metavar="NAME...|replay DIRECTORY...")
@click.option("--inputs", type=click.IntRange(1), default=1000, show_default=True, help="Inputs of each campaign.")
@click.option("--seconds", type=float, help="Stop each campaign after this time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed: equal seeds generate equal inputs.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--limit", type=float, default=20.0, show_default=True, help="Seconds that an input may take.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="Folder with further definitions.")
@click.option("--findings", type=click.Path(path_type=Path), default=Path("fuzz-findings"), help="Folder for findings.")
def command(
    names: tuple[str, ...],
    inputs: int,
    seconds: float | None,
    seed: int,
    jobs: int,
    limit: float,
    corpus: Path | None,
    findings: Path,
) -> None:
    """Run campaigns; the exit status is 1 if there is a finding."""
    if names[:1] == ("replay",):
        sys.exit(_replay([Path(name) for name in names[1:]], limit))
    known = {**{name: cls.__doc__ or "" for name, cls in CAMPAIGNS.items()}, "kills": Kills.__doc__ or ""}
    if not names:
        click.echo("\n".join(f"{name:10} {text.strip().splitlines()[0]}" for name, text in known.items()))
        return
    chosen = tuple(known) if names == ("all",) else names
    if unknown := [name for name in chosen if name not in known]:
        raise click.UsageError(f"unknown campaign `{unknown[0]}`; there are {', '.join(known)}")
    definitions = sorted(corpus.rglob("*.prototxt")) if corpus else []
    found = 0
    for name in chosen:
        if name == "kills":
            found += Kills(seed).run(inputs, seconds)
        else:
            found += Run(CAMPAIGNS[name](definitions), seed, limit, findings).run(inputs, seconds, jobs)
    sys.exit(bool(found))


class Run:
    """One campaign's run: generates inputs, runs them in sandboxes, keeps one input of each fault."""

    def __init__(self, campaign: Campaign, seed: int, limit: float, findings: Path) -> None:
        self.campaign, self.seed, self.limit, self.findings = campaign, seed, limit, findings
        self.seen: dict[str, int] = {}
        """How often each signature was found."""

    def run(self, inputs: int, seconds: float | None, jobs: int) -> int:
        """Run the campaign, print a summary, return the number of different faults."""
        self.campaign.case(generator(self.campaign.name, self.seed, 0))  # bases are created once, by one thread
        self.stop = time.monotonic() + seconds if seconds else float("inf")
        began = time.monotonic()
        with ThreadPoolExecutor(jobs) as pool:
            done = sum(pool.map(self._share, (range(job, inputs, jobs) for job in range(jobs))))
        rate = done / (time.monotonic() - began)
        click.echo(f"{self.campaign.name}: {done} inputs, {rate:.0f} per second, {len(self.seen)} different faults")
        for signature, count in sorted(self.seen.items()):
            click.echo(f"  {count:6}  {signature}")
        return len(self.seen)

    def _share(self, indices: range) -> int:
        sandbox = Sandbox(self.limit)
        done = 0
        try:
            for index in indices:
                if time.monotonic() > self.stop:
                    break
                case = self.campaign.case(generator(self.campaign.name, self.seed, index))
                fault = sandbox.run(case)
                done += 1
                if fault is not None:
                    self._record(case, fault, index, sandbox)
        finally:
            sandbox.close()
        return done

    def _record(self, case: Case, fault: Fault, index: int, sandbox: Sandbox) -> None:
        self.seen[fault.signature] = self.seen.get(fault.signature, 0) + 1
        if self.seen[fault.signature] > 1:
            return
        smallest = minimized(case, lambda candidate: _same(sandbox.run(candidate), fault))
        directory = self.findings / f"{self.campaign.name}-{smallest.digest}"
        smallest.save(directory, fault.signature)
        again = sandbox.run(smallest) or fault
        (directory / "fault.txt").write_text(
            f"{fault.signature}\ninput {index} of seed {self.seed}\n\n{again.detail}\n", errors="backslashreplace"
        )
        click.echo(f"{directory}: {fault.signature}")


def _same(found: Fault | None, fault: Fault) -> bool:
    return found is not None and found.signature == fault.signature


def _replay(directories: Sequence[Path], limit: float) -> int:
    """Run saved inputs; return 1 if one still has a fault."""
    sandbox, faults = Sandbox(limit), 0
    for directory, case in _loaded(directories):
        fault = sandbox.run(case)
        faults += fault is not None
        click.echo(f"{directory}: {fault.signature if fault else 'no fault'}")
    sandbox.close()
    return int(faults > 0)


def _loaded(directories: Sequence[Path]) -> Iterator[tuple[Path, Case]]:
    for directory in directories:
        yield directory, load(directory)
