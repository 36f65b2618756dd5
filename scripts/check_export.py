"""Loads an exported digits model and says how good it is on images that the search never saw."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "dags"))
LEAST = 0.95


def main(url: str) -> int:
    import keras
    from digits.data import test_images

    from ktcomponent.export import HYPERPARAMETERS, read_manifest
    from ktcomponent.storage import open_storage

    export = open_storage(url)
    manifest = read_manifest(export)
    best = json.loads(export.get(HYPERPARAMETERS) or b"{}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        export.download(manifest["models"][0]["file"], path)
        model = keras.models.load_model(path)
    images, labels = test_images()
    accuracy = float((model.predict(images, verbose=0).argmax(1) == labels).mean())
    print("Best hyperparameters:")
    for name, value in best["values"].items():
        print(f"  {name}: {value}")
    print(f"{manifest['objective']['name']} in the search: {manifest['score']:.4f}")
    print(f"accuracy on {len(labels)} images the search never saw: {accuracy:.4f}")
    print(f"Export: {url}")
    if accuracy < LEAST:
        print(f"That is less than the {LEAST} that was expected.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
