"""Making bundles: a checkpoint goes in, a model folder comes out. Needs the extra `legato[convert]`, never torch."""

from legato.convert.conversion import LAYOUTS, PRECISIONS, ConversionReport, convert

__all__ = ["LAYOUTS", "PRECISIONS", "ConversionReport", "convert"]
