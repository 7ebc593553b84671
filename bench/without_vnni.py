"""Make an environment behave as on a CPU with AVX2 but without AVX-512 and VNNI.

    python bench/without_vnni.py ENVIRONMENT [ENVIRONMENT...]

An emulated restriction, on a machine that has these instructions: the libraries choose the code that they would choose
on the lesser CPU, saturating U8 x S8 products included, but it runs on this machine's caches, memory and clock.

What it changes in an environment (better a copy: `bench.peers.setup` makes one), for good:

- ONNX Runtime, alone or inside sherpa-onnx: the instruction `xgetbv`, which says which registers the system saves,
  becomes `mov al, 7; nop`: no more than those of AVX. A disassembler (objdump) finds it, because the same three bytes
  occur inside other instructions.
- ggml (transcribe-cpp): it ships a library for each kind of CPU and loads the best that the machine can run; those that
  need more than AVX2 get another name, so that `haswell` remains.

Torch needs no change: ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2.
"""

import argparse
import re
import struct
import subprocess
from pathlib import Path

_XGETBV = bytes.fromhex("0f01d0")
_NO_MORE_THAN_AVX = bytes.fromhex("b00790")
#: Kinds of CPU that ggml has a library for and that have more than AVX2.
_GGML_BEYOND_AVX2 = (
    "alderlake", "cannonlake", "cascadelake", "cooperlake", "icelake", "sapphirerapids", "skylakex", "zen4",
)  # fmt: skip


def xgetbv_addresses(library: Path) -> list[int]:
    """Virtual addresses of the instruction in the library's code."""
    try:
        listing = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", str(library)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    except FileNotFoundError:
        raise SystemExit("objdump is missing: install binutils.") from None
    return [int(found, 16) for found in re.findall(r"^ *([0-9a-f]+):\s+xgetbv\b", listing, re.MULTILINE)]


def file_offset(data: bytes | bytearray, address: int) -> int:
    """Place in a 64-bit little-endian ELF file of what is loaded at a virtual address."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, start, _, length = struct.unpack_from("<IIQQQQ", data, table + number * size)
        if kind == 1 and start <= address < start + length:
            return int(offset + address - start)
    raise SystemExit(f"Nothing is loaded at address {address:x}.")


def restrict(library: Path) -> int:
    """Change a library; how many instructions were changed."""
    data = bytearray(library.read_bytes())
    if _XGETBV not in data:
        return 0
    offsets = [file_offset(data, address) for address in xgetbv_addresses(library)]
    for offset in offsets:
        if data[offset : offset + 3] != _XGETBV:
            raise SystemExit(f"{library}: no xgetbv at offset {offset:x}.")
        data[offset : offset + 3] = _NO_MORE_THAN_AVX
    if offsets:
        # A new file, not the old one changed: copies of environments may share it.
        changed = library.with_name(library.name + ".new")
        changed.write_bytes(data)
        changed.chmod(library.stat().st_mode)
        changed.replace(library)
    return len(offsets)


def restrict_environment(environment: Path) -> list[str]:
    """Change an environment; what was done."""
    done = [
        f"{library.name}: {count} instructions"
        for library in sorted(environment.glob("lib/python*/site-packages/**/*onnxruntime*.so*"))
        if library.is_file() and (count := restrict(library))
    ]
    for kind in _GGML_BEYOND_AVX2:
        for library in environment.glob(f"lib/python*/site-packages/**/libggml-cpu-{kind}.so"):
            library.replace(library.with_name(library.name + ".off"))
            done.append(f"{library.name}: out of the way")
    return done


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path, nargs="+", help="virtual environment to change")
    for environment in parser.parse_args().environment:
        print(f"{environment}: " + ("; ".join(restrict_environment(environment)) or "nothing to change"))


if __name__ == "__main__":
    main()
