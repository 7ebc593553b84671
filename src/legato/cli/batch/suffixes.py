"""The suffixes of audio and video files that FFmpeg recognizes by their content."""

_AUDIO = """
    .3ga .8svx .aa .aa3 .aac .aax .ac3 .ac4 .adts .aif .aifc .aiff .amr .ape .au .awb .bwf .caf .dff .dsf .dss .dts
    .dtshd .eac3 .ec3 .flac .iff .ircam .latm .loas .m2a .m4a .m4b .m4p .m4r .mka .mlp .mp1 .mp2 .mp3 .mp+ .mpa .mpc
    .mpga .mpp .nist .oga .ogg .oma .omg .opus .paf .pvf .qcp .ra .rf64 .sf .snd .sph .spx .tak .thd .tta .voc .vqf .w64
    .wav .wave .weba .wma .wv
"""
_VIDEO = """
    .3g2 .3gp .3gp2 .3gpp .3gpp2 .amv .asf .avi .divx .dv .dvr-ms .f4v .flv .gxf .ismv .m2p .m2t .m2ts .m4v .mk3d .mkv
    .mod .mov .mp4 .mp4v .mpe .mpeg .mpg .mqv .mts .mxf .nut .nuv .ogm .ogv .ogx .qt .rm .rmvb .tod .trp .ts .vob .webm
    .wmv .wtv
"""

SUFFIXES = frozenset((_AUDIO + _VIDEO).split())
"""Only files with these suffixes are taken from a folder."""
