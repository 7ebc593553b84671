"""Make an environment behave as on a CPU with AVX2 but without AVX-512 and VNNI.

    python bench/without_vnni.py ENVIRONMENT [ENVIRONMENT...]

The restriction is emulated on a machine that has these instructions: the libraries select the code for the lesser CPU,
including saturating U8 x S8 products, but caches, memory and clock are those of this machine.

The changes to an environment are permanent; use a copy (`bench.peers.setup` makes one):

- ONNX Runtime, alone or inside sherpa-onnx: the instruction `xgetbv`, which tells the registers that the system saves,
  becomes `mov al, 7; nop`, which reports only those of AVX. A disassembler (objdump) finds the instruction, because the
  same three bytes occur inside other instructions. AVX-VNNI needs no other registers: `cpuid; test al, 16`, which asks
  for it, becomes `cpuid; test al, 0`.
- ggml (transcribe-cpp) contains a library for each kind of CPU and loads the best one that the machine can run. Those
  that need more than AVX2 are renamed, so that `haswell` remains.

PyTorch needs no change: set ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2.
"""

import argparse
import re
import struct
import subprocess
from pathlib import Path

_XGETBV = bytes.fromhex("0f01d0")
_NO_MORE_THAN_AVX = bytes.fromhex("b00790")
_ASKS_FOR_AVX_VNNI = bytes.fromhex("0fa2a810")
_NO_AVX_VNNI = bytes.fromhex("0fa2a800")
#: CPUs with more than AVX2 for which ggml has a library.
_GGML_BEYOND_AVX2 = (
    "alderlake", "cannonlake", "cascadelake", "cooperlake", "icelake", "sapphirerapids", "skylakex", "zen4",
)  # fmt: skip


def xgetbv_offsets(library: Path) -> list[int]:
    """Return the offsets of the instruction in a library."""
    data = library.read_bytes()
    return [m.start() for m in re.finditer(re.escape(_XGETBV), data) if _is_instruction(library, data, m.start())]


def _is_instruction(library: Path, data: bytes, offset: int) -> bool:
    """Return whether the instruction begins at an offset.

    A disassembler that begins in the middle of an instruction is in step again after a few.
    """
    if (address := virtual_address(data, offset)) is None:
        return False
    window = (f"--start-address={address - 128}", f"--stop-address={address + len(_XGETBV)}")
    try:
        listing = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", *window, str(library)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        raise SystemExit("objdump is missing. Install binutils.") from None
    return re.search(rf"^ *{address:x}:\s+xgetbv\b", listing, re.MULTILINE) is not None


def virtual_address(data: bytes, offset: int) -> int | None:
    """Return the virtual address of a byte of a 64-bit little-endian ELF file; None if it is not code."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, flags, start, address, _, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == 1 and flags & 1 and start <= offset < start + length:  # a loaded segment that may be executed
            return int(address + offset - start)
    return None


def restrict(library: Path) -> int:
    """Change a library, and return the number of changed instructions."""
    offsets = xgetbv_offsets(library)
    if offsets:
        data = bytearray(library.read_bytes())
        for offset in offsets:
            data[offset : offset + len(_NO_MORE_THAN_AVX)] = _NO_MORE_THAN_AVX
        data = data.replace(_ASKS_FOR_AVX_VNNI, _NO_AVX_VNNI)
        # A new file, because copies of environments may share the old one.
        changed = library.with_name(library.name + ".new")
        changed.write_bytes(data)
        changed.chmod(library.stat().st_mode)
        changed.replace(library)
    return len(offsets)


def restrict_environment(environment: Path) -> list[str]:
    """Change an environment, and return one line per change."""
    done = [
        f"{library.name}: {count} instructions"
        for library in sorted(environment.glob("lib/python*/site-packages/**/*onnxruntime*.so*"))
        if library.is_file() and (count := restrict(library))
    ]
    for kind in _GGML_BEYOND_AVX2:
        for library in environment.glob(f"lib/python*/site-packages/**/libggml-cpu-{kind}.so"):
            library.replace(library.with_name(library.name + ".off"))
            done.append(f"{library.name}: renamed")
    return done


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path, nargs="+", help="virtual environment to change")
    for environment in parser.parse_args().environment:
        print(f"{environment}: " + ("; ".join(restrict_environment(environment)) or "nothing to change"))


if __name__ == "__main__":
    main()
