from dataclasses import dataclass
from pathlib import Path
@dataclass
class R: path: Path
def resolve(p): return R(Path(p))
