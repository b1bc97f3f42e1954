"""Preprocessing against the tools a user would take instead: speed side by side, peak memory, identical ids."""

from __future__ import annotations

import argparse
import bz2
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq_xling.command import run_command
from fairseq_xling.formats.errors import InputError
from fairseq_xling.formats.text import read_lines

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
EXAMPLE = """
The text: English sentences of --data (the pocket sets), repeated; in seven of ten repeated sentences one word becomes a
new one, made of the halves of two others. The other tools get the same text, the same model and dictionary, as many
processes, and no time for what they do not do.

example (about 20 minutes on 2 cores):
  python benchmarks/preprocess.py --data ../shared/data --work /tmp/bench --megabytes 200
"""


@dataclass
class Run:
    """Attributes: `seconds` on the clock; `cpu` seconds with those of children; their `peak` memory in MB (PSS).

    On a machine that others use too, the CPU seconds are the ones to compare.
    """

    seconds: float
    cpu: float
    peak: float

    def __add__(self, other: Run) -> Run:
        return Run(self.seconds + other.seconds, self.cpu + other.cpu, max(self.peak, other.peak))


def run(*command: object, stdin: Path | None = None, stdout: Path | None = None) -> Run:
    """Run a command, and follow its memory."""
    with (
        open(stdin or os.devnull, "rb") as source,
        open(stdout or os.devnull, "wb") as target,
        open(os.devnull, "wb") as quiet,
    ):
        before, start = os.times(), time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdin=source, stdout=target, stderr=quiet, cwd=ROOT)
        peaks = [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
        watcher.start()
        status = process.wait()
        seconds = time.perf_counter() - start
        after = os.times()
        watcher.join()
    if status:
        raise InputError(f"status {status} of: {' '.join(map(str, command))}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds, cpu, peaks[0])


def _watch(process: subprocess.Popen[bytes], peaks: list[float]) -> None:
    while process.poll() is None:
        peaks[0] = max(peaks[0], sum(map(_memory, _family(process.pid))))
        time.sleep(0.1)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))
    except OSError:
        return


def _memory(pid: int) -> float:
    """Proportional set size in MB: pages that several processes share count once in all."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def real_sentences(data: Path) -> list[str]:
    """The English sentences of the pocket sets."""
    lines = [line.split("\t")[1] for line in read_lines(data / "bible/en.train.tsv.gz")]
    lines += read_lines(data / "wiki_text/en.txt.gz")
    lines += read_lines(data / "ntrex/en.txt")
    for line in read_lines(data / "xnli/mnli_train15k-en.tsv.gz"):
        lines += line.split("\t")[:2]
    return [" ".join(line.split()) for line in lines if line.strip()]


def make_text(data: Path, out: Path, megabytes: int) -> Path:
    """Repeat real sentences with variation up to a size."""
    if out.is_file():
        return out
    lines, rng = real_sentences(data), random.Random(1)
    words = sorted({word for line in lines for word in line.split()})
    size, first = 0, True
    with open(out.with_suffix(".tmp"), "w", encoding="utf-8") as handle:
        while size < megabytes * 1_000_000:
            rng.shuffle(lines)
            for line in lines:
                text = line if first or rng.random() >= 0.7 else _varied(line, words, rng)
                size += len(text.encode()) + 1
                handle.write(text + "\n")
                if size >= megabytes * 1_000_000:
                    break
            first = False
    os.replace(out.with_suffix(".tmp"), out)
    return out


def _varied(line: str, words: list[str], rng: random.Random) -> str:
    parts = line.split(" ")
    a, b = rng.choice(words), rng.choice(words)
    parts[rng.randrange(len(parts))] = a[: len(a) // 2 + 1] + b[len(b) // 2 :]
    return " ".join(parts)


def report(what: str, amount: float, unit: str, ours: Run, name: str, theirs: Run, note: str = "") -> None:
    """One line of the table."""
    own, other = (f"{amount / part.seconds:,.2f} {unit}/s" for part in (ours, theirs))
    memory = f"{ours.peak:,.0f} MB, {theirs.peak:,.0f} MB"
    ratios = f"{theirs.seconds / ours.seconds:.1f} | {theirs.cpu / ours.cpu:.1f}"
    print(f"| {what} | {own} | {name} {other} | {ratios} | {memory} | {note} |", flush=True)


SPM_ENCODE = """
import sys, sentencepiece
processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
while lines := sys.stdin.readlines(4_000_000):
    pieces = processor.encode([line.rstrip("\\n") for line in lines], out_type=str, num_threads=int(sys.argv[2]))
    sys.stdout.writelines(" ".join(row) + "\\n" for row in pieces)
"""


def bench_binarise(work: Path, text: Path, small: Path, workers: int) -> None:
    """Ours against spm_encode piped through fairseq-preprocess, with the same model and dictionary."""
    megabytes = text.stat().st_size / 1e6
    for split in ("train", "valid"):
        shutil.copy(small if split == "train" else _head(small, work / "valid.txt"), work / f"en.{split}.txt")
    out = work / "bin"
    shutil.rmtree(out, ignore_errors=True)
    build = ["preprocess/build_databin.py", out, "--text", f"en={work / 'en'}", "--bpe-size", 32000]
    run(sys.executable, *build, "--workers", workers)
    model, dictionary = out / "en/spm.model", out / "en/dict.txt"
    for path, note in ((small, ""), (text, "ids identical")):
        command = ["preprocess/binarise.py", path, work / "ours", "--like", out, "--lang", "en", "--workers", workers]
        ours = run(sys.executable, *command)
        if path is small:
            size = small.stat().st_size / 1e6
            print(
                f"| binarise {size:.0f} MB | {size / ours.seconds:.2f} MB/s | | | | {ours.peak:,.0f} MB | |", flush=True
            )
            continue
        pieces = work / "pieces.en"
        spm = run(sys.executable, "-c", SPM_ENCODE, model, workers, stdin=path, stdout=pieces)
        shutil.rmtree(work / "theirs", ignore_errors=True)
        options = ["--only-source", "--trainpref", pieces, "--srcdict", dictionary, "--workers", workers]
        fairseq = run(BIN / "fairseq-preprocess", *options, "--destdir", work / "theirs")
        theirs = spm + fairseq
        for suffix in ("bin", "idx"):
            if _differ(work / f"ours.{suffix}", work / f"theirs/train.{suffix}"):
                raise InputError("the ids differ from those of fairseq-preprocess", work / f"ours.{suffix}")
        report(f"binarise {megabytes:.0f} MB", megabytes, "MB", ours, "spm_encode, fairseq-preprocess", theirs, note)
        pieces.unlink()


def _differ(a: Path, b: Path) -> bool:
    with open(a, "rb") as left, open(b, "rb") as right:
        while data := left.read(1 << 20):
            if data != right.read(1 << 20):
                return True
        return bool(right.read(1))


def _head(source: Path, out: Path) -> Path:
    with open(source, encoding="utf-8") as lines, open(out, "w", encoding="utf-8") as handle:
        handle.writelines(line for line, _ in zip(lines, range(1000)))
    return out


def bench_build(work: Path, text: Path, small: Path, workers: int, fast_bpe: Path | None) -> None:
    """BPE of 8,000 and its application, against subword-nmt and fastBPE; text to data-bin, memory at larger sizes."""
    part = work / "part.txt"
    with open(text, "rb") as source, open(part, "wb") as target:
        target.write(source.read(20_000_000).rsplit(b"\n", 1)[0] + b"\n")
    paths = {"part": part, "small": small, "full": text}
    for name, path in paths.items():
        for split in ("train", "valid"):
            link = work / f"{name}.{split}.txt"
            link.unlink(missing_ok=True)
            os.link(path if split == "train" else _head(path, work / "valid.txt"), link)
    runs = {}
    for name in paths:
        out = work / f"bin-{name}"
        shutil.rmtree(out, ignore_errors=True)
        options = [out, "--text", f"en={work / name}", "--bpe-size", 8000, "--workers", workers]
        runs[name] = run(sys.executable, "preprocess/build_databin.py", *options)
    learn = run(
        BIN / "subword-nmt", "learn-bpe", "-s", 8000, "--num-workers", workers, stdin=part, stdout=work / "codes"
    )
    apply = run(BIN / "subword-nmt", "apply-bpe", "-c", work / "codes", "--num-workers", workers, stdin=part)
    theirs = learn + apply
    report("text to data-bin, 20 MB", 20, "MB", runs["part"], "subword-nmt, without binarising", theirs, "BPE of 8,000")
    if fast_bpe:
        learn = run(fast_bpe, "learnbpe", 8000, part, stdout=work / "codes")
        theirs = learn + run(fast_bpe, "applybpe", work / "applied", part, work / "codes")
        report("text to data-bin, 20 MB", 20, "MB", runs["part"], "fastBPE, without binarising", theirs, "BPE of 8,000")
    for name in ("small", "full"):
        size, ours = paths[name].stat().st_size / 1e6, runs[name]
        speed = f"{size / ours.seconds:.2f} MB/s"
        print(f"| text to data-bin, {size:.0f} MB | {speed} | | | | {ours.peak:,.0f} MB | BPE of 8,000 |", flush=True)


def bench_extract(work: Path, data: Path, workers: int) -> None:
    """Articles of a dump (the sample ten times over), against wikiextractor, which splits no sentences."""
    dump = work / "dump.xml.bz2"
    if not dump.is_file():
        with bz2.open(data / "wiki_dump/enwiki-sample.xml.bz2") as source:
            xml = source.read()
        head, rest = xml.split(b"<page>", 1)
        body = b"<page>" + rest.rsplit(b"</mediawiki>", 1)[0]
        dump.write_bytes(bz2.compress(head + body * 10 + b"</mediawiki>\n"))
    size = len(bz2.decompress(dump.read_bytes())) / 1e6
    command = ["preprocess/extract_wiki.py", dump, work / "wiki.txt", "--lang", "en", "--workers", workers]
    ours = run(sys.executable, *command)
    shutil.rmtree(work / "wikiextractor", ignore_errors=True)
    options = ["--no-templates", "--processes", workers, "-q", "-o", work / "wikiextractor", dump]
    theirs = run(sys.executable, "-m", "wikiextractor.WikiExtractor", *options)
    report(f"extract {size:.0f} MB of XML", size, "MB", ours, "wikiextractor", theirs, "ours splits sentences too")


def bench_tokenise(work: Path, text: Path, workers: int) -> None:
    """Moses tokenisation, against the command line of sacremoses."""
    part = work / "tok.txt"
    with open(text, encoding="utf-8") as source, open(part, "w", encoding="utf-8") as target:
        target.writelines(line for line, _ in zip(source, range(150_000)))
    command = ["preprocess/tokenise.py", part, work / "tok.out", "--lang", "en", "--workers", workers]
    ours = run(sys.executable, *command)
    options = ["-l", "en", "-j", workers, "-q", "tokenize", "--xml-escape"]
    theirs = run(BIN / "sacremoses", *options, stdin=part, stdout=work / "tok.theirs")
    report("tokenise 150,000 sentences", 150, "k sentences", ours, "sacremoses", theirs)


SHUFFLE_AND_HOLD_OUT = """
export LC_ALL=C
shuf "$1" > "$2.all"
head -n 5000 "$2.all" > "$2.valid"
head -n 10000 "$2.all" | tail -n 5000 > "$2.test"
cat "$2.valid" "$2.test" > "$2.held"
tail -n +10001 "$2.all" | grep -vxFf "$2.held" > "$2.train"
"""


def bench_shuffle(work: Path, text: Path) -> None:
    """Shuffling and holding out against coreutils doing the same, and two ways of shuffling alone.

    `shuf` holds all text in memory; the memory of `sort -R`, which puts equal lines side by side, is bounded.
    """
    size, theirs = text.stat().st_size / 1e6, work / "shuffled.theirs"
    ours = run(sys.executable, "preprocess/shuffle_split.py", text, work / "shuffled")
    peers = {
        "shuf, head, tail, grep": (("bash", "-c", SHUFFLE_AND_HOLD_OUT, "shuffle", text, theirs), "the same splits"),
        "shuf": (("shuf", text), "theirs holds nothing out"),
        "sort -R": (("sort", "-R", "-S", "64M", "-T", work, text), "theirs holds nothing out"),
    }
    for name, (command, note) in peers.items():
        report(f"shuffle {size:.0f} MB", size, "MB", ours, name, run(*command, stdout=theirs), note)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the pocket sets")
    parser.add_argument("--work", type=Path, required=True, help="scratch folder")
    parser.add_argument("--megabytes", type=int, default=200, help="of text (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--fast-bpe", type=Path, help="fastBPE's program, where it is to be compared with")
    parser.add_argument("--only", nargs="+", default=["extract", "tokenise", "shuffle", "build", "binarise"])
    args = parser.parse_args()
    args.work, args.data = args.work.resolve(), args.data.resolve()
    args.fast_bpe = args.fast_bpe and args.fast_bpe.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    text = make_text(args.data, args.work / f"text{args.megabytes}.txt", args.megabytes)
    small = make_text(args.data, args.work / f"text{args.megabytes // 4}.txt", args.megabytes // 4)
    print("| step | ours | other | ratio, clock | ratio, CPU | peak memory (ours, other) | |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in args.only:
        if name == "extract":
            bench_extract(args.work, args.data, args.workers)
        elif name == "tokenise":
            bench_tokenise(args.work, text, args.workers)
        elif name == "shuffle":
            bench_shuffle(args.work, text)
        elif name == "build":
            bench_build(args.work, text, small, args.workers, args.fast_bpe)
        elif name == "binarise":
            bench_binarise(args.work, text, small, args.workers)
        else:
            raise InputError(f"no step {name!r}; there are extract, tokenise, shuffle, build, binarise")


if __name__ == "__main__":
    run_command(main)
