"""Batches for nets from databases, lists and files, read ahead in threads.

    source = open_source(layer, "TRAIN", seed=1)     the source that a data layer describes
    source.record_shapes                             shapes of one record, before the transform
    feed = DeviceFeed(source, device)                its batches as tensors (netc.data.pipeline.device_feed)
    data, label = feed.next()
    source.state(), source.restore(state)            its position, as plain JSON
    source.skipped                                   bad records that others replace (`skip_bad=True`)

    image_database.convert_images, convert_folder    databases of image files, as convert_imageset creates them
    annotated_database.convert_annotated             databases of images with boxes, as convert_annoset creates them
    mnist_and_cifar.mnist, cifar10                   databases of MNIST's and CIFAR-10's files
    mean_image.mean_image                            compute_image_mean
    database_report.inspect_database, contact_sheet  content and errors of a database
    stores.writers.new_database                      `put(key, value)` of an LMDB or LevelDB, complete or absent

Only regular files are opened, and images, resizes and batches are bounded before memory is allocated.
Random choices depend on a seed and the number of the record, never on threads or on where a run was resumed.

    E104  a batch that exceeds the memory
    E301  with `skip_bad`, a record whose label the net does not accept
    E405  an HDF5 dataset that would expand without limit
    E406  an HDF5 dataset whose values are in another file
    E501  a source that does not exist, cannot be read, is of a different kind, or is damaged as a whole
    E502  a source without records
    E503  a record that is not a Datum, or whose size contradicts its content
    E504  an image that is missing, cannot be decoded, or ends early
    E505  sizes that do not agree: of the images of a batch, a label map, a crop, a mean, a context
    E506  a bad line of an image list, a list of label maps or a window file
    E507  a LevelDB that another process has open
    E508  HDF5 datasets that are missing, are not numeric, or differ in length or shape
    E509  windows outside their image, or a fraction of windows that a batch cannot have
    E510  files that are not MNIST or CIFAR-10 files, or do not belong together
    E511  a database, or the file of its class names, that already exists or cannot be written
    E512  an unknown backend, or settings of a conversion that contradict each other
    E513  annotations of images, or a label map, that are invalid
    W513  boxes outside their image, and images of another size than their annotation says
"""

from __future__ import annotations

from netc.data.batch import Batch
from netc.data.factory import open_source
from netc.data.records import Records
from netc.data.source import BatchSource, ReadStatistics

__all__ = ["Batch", "BatchSource", "ReadStatistics", "Records", "open_source"]
