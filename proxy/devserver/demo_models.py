"""Small real SavedModels for the demonstration: `python -m proxy.devserver.demo_models OUT_DIR`.

Law: a script of its own process, because it needs TensorFlow's Python package; whoever only wants to know
whether the models are there calls `complete`, which imports nothing. Weights are fixed, not trained: each
model does something plausible with colours or words, and fails in the ways a real one fails.

- `detector`: image_tensor uint8 [?,?,?,3] → the four outputs of an SSD; finds red, green and blue squares.
- `classifier`: images float [?,300,300,3] → probabilities [?,3]: red, green or blue; its convolution stands
  straight on the input, so an image without its batch dimension aborts the server (measured, section ZZ).
- `text`: text string [?] and ids int64 [?,4] → score float [?], from a word list and an embedding.
"""

import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MODELS: Final = ("detector", "classifier", "text")
_MADE_OF: Final = ".made-of"

# How much more of one colour than of the two others there is: red, green, blue.
_OPPONENT: Final = ((1.0, -0.5, -0.5), (-0.5, 1.0, -0.5), (-0.5, -0.5, 1.0))
_WORD_LIST: Final = "words.txt"  # an asset: TensorFlow copies it into the SavedModel
_WORDS: Final = {"good": 1.0, "great": 2.0, "fine": 0.5, "bad": -1.0, "awful": -2.0, "slow": -0.5}


def complete(out: Path) -> bool:
    """Say whether `out` holds the models that this file makes with the installed TensorFlow."""
    try:
        return (out / _MADE_OF).read_text() == _made_of()
    except OSError:
        return False


def _made_of() -> str:
    made_of = Path(__file__).read_bytes() + importlib.metadata.version("tensorflow").encode()
    return hashlib.sha256(made_of).hexdigest()


def build(out: Path) -> None:
    """Write the models as `out`/NAME/1; beside `out` first, so that it is never half there.

    Raises FileExistsError for a folder that holds anything else: what was here before is replaced.
    """
    if out.exists() and any(out.iterdir()) and not (out / _MADE_OF).exists():
        raise FileExistsError(f"{out} holds other things: name a folder that is new or empty")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import tensorflow as tf  # seconds and half a gigabyte: only when there is something to build

    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        for name, make in zip(MODELS, (_detector, _classifier, _text), strict=True):
            module = make(tf, building)
            tf.saved_model.save(module, building / name / "1", signatures={"serving_default": module.serve})
        (building / _WORD_LIST).unlink()
        (building / _MADE_OF).write_text(_made_of())
        building.chmod(0o755)
        if not complete(out):
            shutil.rmtree(out, ignore_errors=True)
            building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _serving(tf: Any, module: Any, function: Callable[..., Any], *specs: Any) -> Any:
    module.serve = tf.function(function, input_signature=specs)
    return module


def _detector(tf: Any, _: Path) -> Any:
    """MobileNet's shape in small: a convolution, depthwise separable blocks, heads at three scales, NMS."""
    side, scales = 96, 4
    module = tf.Module()
    # The stem blurs each opponent colour over 3x3 pixels; each block blurs and halves again.
    module.stem = tf.Variable(tf.constant(_OPPONENT)[None, None] * tf.ones([3, 3, 1, 1]) / 9.0)
    module.depthwise = [tf.Variable(tf.ones([3, 3, 3, 1]) / 9.0) for _ in range(scales)]
    module.surround = tf.Variable(tf.ones([5, 5, 3, 1]) / 25.0)
    module.pointwise = [tf.Variable(tf.eye(3)[None, None]) for _ in range(scales)]

    def anchors(cells: int) -> Any:
        """One square box of two cells around each cell: [cells * cells, 4] as ymin, xmin, ymax, xmax."""
        centre = (tf.range(cells, dtype=tf.float32) + 0.5) / cells
        y, x = (tf.reshape(axis, [-1]) for axis in tf.meshgrid(centre, centre, indexing="ij"))
        return tf.clip_by_value(
            tf.stack([y - 1 / cells, x - 1 / cells, y + 1 / cells, x + 1 / cells], axis=1), 0, 1
        )

    def serve(image_tensor: Any) -> dict[str, Any]:
        x = tf.map_fn(
            lambda image: tf.image.resize(tf.cast(image, tf.float32) / 255.0, [side, side]),
            image_tensor,
            fn_output_signature=tf.TensorSpec([side, side, 3], tf.float32),
        )
        x = tf.nn.relu(tf.nn.conv2d(x, module.stem, 2, "SAME"))
        boxes, scores = [], []
        cells = side // 2
        for depthwise, pointwise in zip(module.depthwise, module.pointwise, strict=True):
            x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, depthwise, [1, 2, 2, 1], "SAME"))
            x = tf.nn.relu6(tf.nn.conv2d(x, pointwise, 1, "SAME"))
            cells //= 2
            boxes.append(anchors(cells))
            # A cell that stands out of its surroundings: an object of this scale, not the inside of a larger one.
            contrast = x - tf.nn.depthwise_conv2d(x, module.surround, [1, 1, 1, 1], "SAME")
            scores.append(tf.reshape(tf.sigmoid(12.0 * (contrast - 0.5)), [-1, cells * cells, 3]))
        batch = tf.shape(image_tensor)[0]
        every_box = tf.tile(tf.concat(boxes, 0)[None, :, None], [batch, 1, 1, 1])
        found = tf.image.combined_non_max_suppression(
            every_box, tf.concat(scores, 1), 20, 100, iou_threshold=0.2, score_threshold=0.5
        )
        return {
            "detection_boxes": found.nmsed_boxes,
            "detection_scores": found.nmsed_scores,
            "detection_classes": found.nmsed_classes + 1.0,
            "num_detections": tf.cast(found.valid_detections, tf.float32),
        }

    image = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image_tensor")
    return _serving(tf, module, serve, image)


def _classifier(tf: Any, _: Path) -> Any:
    module = tf.Module()
    module.kernel = tf.Variable(tf.constant(_OPPONENT)[None, None] * tf.ones([3, 3, 1, 1]) / 9.0)
    # 300x300 with stride 2 is 150x150 cells of three colours; the mean of each colour is its logit.
    module.dense = tf.Variable(tf.tile(tf.eye(3), [150 * 150, 1]) * 10.0 / (150 * 150))

    def serve(images: Any) -> dict[str, Any]:
        x = tf.nn.relu(tf.nn.conv2d(images, module.kernel, 2, "SAME"))
        return {"probabilities": tf.nn.softmax(tf.matmul(tf.reshape(x, [-1, 150 * 150 * 3]), module.dense))}

    return _serving(tf, module, serve, tf.TensorSpec([None, 300, 300, 3], tf.float32, name="images"))


def _text(tf: Any, folder: Path) -> Any:
    module = tf.Module()
    words = folder / _WORD_LIST
    words.write_text("".join(f"{word}\t{weight}\n" for word, weight in _WORDS.items()))
    module.words = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(words), tf.string, 0, tf.float32, 1, delimiter="\t"), 0.0
    )
    module.embedding = tf.Variable(tf.linspace(-0.1, 0.1, 1000))

    def serve(text: Any, ids: Any) -> dict[str, Any]:
        tokens = tf.strings.split(tf.strings.lower(text))
        weights = tf.ragged.map_flat_values(module.words.lookup, tokens)
        of_text = tf.reduce_sum(weights, axis=1)
        return {"score": of_text + tf.reduce_sum(tf.gather(module.embedding, ids), axis=1)}

    specs = tf.TensorSpec([None], tf.string, name="text"), tf.TensorSpec([None, 4], tf.int64, name="ids")
    return _serving(tf, module, serve, *specs)


def main() -> None:
    """Build what is missing under the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m proxy.devserver.demo_models OUT_DIR")
    out = Path(sys.argv[1])
    if complete(out):
        return
    try:
        build(out)
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
