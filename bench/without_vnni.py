"""Make an environment behave as on a CPU with AVX2 but without AVX-512 and VNNI.

    python bench/without_vnni.py ENVIRONMENT [ENVIRONMENT...]

The restriction is emulated on a machine that has these instructions: the libraries select the code for the lesser CPU,
including saturating U8 x S8 products, but caches, memory and clock are those of this machine.

The changes to an environment are permanent; use a copy (`bench.peers.setup` makes one):

- ONNX Runtime, alone or inside sherpa-onnx: the instruction `xgetbv`, which tells the registers that the system saves,
  becomes `mov al, 7; nop`, which reports only those of AVX. A disassembler (objdump) finds the instruction, because the
  same three bytes occur inside other instructions.
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
#: CPUs with more than AVX2 for which ggml has a library.
_GGML_BEYOND_AVX2 = (
    "alderlake", "cannonlake", "cascadelake", "cooperlake", "icelake", "sapphirerapids", "skylakex", "zen4",
)  # fmt: skip


def xgetbv_addresses(library: Path) -> list[int]:
    """Return the virtual addresses of the instruction in a library."""
    try:
        listing = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", str(library)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    except FileNotFoundError:
        raise SystemExit("objdump is missing. Install binutils.") from None
    return [int(found, 16) for found in re.findall(r"^ *([0-9a-f]+):\s+xgetbv\b", listing, re.MULTILINE)]


def file_offset(data: bytes | bytearray, address: int) -> int:
    """Return the offset in a 64-bit little-endian ELF file of the byte at a virtual address."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, start, _, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == 1 and start <= address < start + length:
            return int(offset + address - start)
    raise SystemExit(f"No segment contains address {address:x}. Give a 64-bit ELF library.")


def restrict(library: Path) -> int:
    """Change a library, and return the number of changed instructions."""
    data = bytearray(library.read_bytes())
    if _XGETBV not in data:
        return 0
    offsets = [file_offset(data, address) for address in xgetbv_addresses(library)]
    for offset in offsets:
        if data[offset : offset + 3] != _XGETBV:
            raise SystemExit(f"{library}: there is no xgetbv at offset {offset:x}. Do not change it meanwhile.")
        data[offset : offset + 3] = _NO_MORE_THAN_AVX
    if offsets:
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
