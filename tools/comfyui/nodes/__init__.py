"""Nodes with the names and inputs of well-known packs, for a ComfyUI that runs random weights.

They compute something simple that can be seen in the picture. Loading them also makes the text
encoders and transformers of this ComfyUI small (`shrink`).
"""

from pathlib import Path

import folder_paths

from . import adapter, preprocessors, seamless, shrink

shrink.apply()

# The pack registers its folder, and its loader finds files there by their names.
_FOLDER = Path(folder_paths.models_dir) / "ipadapter"
folder_paths.add_model_folder_path("ipadapter", str(_FOLDER))
for _place in (_FOLDER, Path(folder_paths.models_dir) / "clip_vision"):
    _place.mkdir(parents=True, exist_ok=True)
    (_place / "stand-in.safetensors").touch()

NODE_CLASS_MAPPINGS = {
    "DepthAnythingV2Preprocessor": preprocessors.Depth,
    "OpenposePreprocessor": preprocessors.Pose,
    "SeamlessTile": seamless.SeamlessTile,
    "MakeCircularVAE": seamless.MakeCircularVAE,
    "IPAdapterUnifiedLoader": adapter.UnifiedLoader,
    "IPAdapter": adapter.Adapter,
}
