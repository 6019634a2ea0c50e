"""Nodes with the names and inputs of well-known packs, for a ComfyUI that runs random weights.

They compute something simple that can be seen in the picture. Loading them also makes the text
encoders and transformers of this ComfyUI small (`shrink`).
"""

from . import adapter, preprocessors, seamless, shrink

shrink.apply()

NODE_CLASS_MAPPINGS = {
    "DepthAnythingV2Preprocessor": preprocessors.Depth,
    "OpenposePreprocessor": preprocessors.Pose,
    "SeamlessTile": seamless.SeamlessTile,
    "MakeCircularVAE": seamless.MakeCircularVAE,
    "IPAdapterUnifiedLoader": adapter.UnifiedLoader,
    "IPAdapter": adapter.Adapter,
}
