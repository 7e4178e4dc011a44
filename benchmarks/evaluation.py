"""Measures the evaluations at the papers' sizes, beside their definitions in NumPy, each in its own process."""

from benchmarks.worker import Worker

PARZEN, SAMPLES = 10_000, 5_000


def measure(images, num_images, quick):
    """Returns, for each evaluation, images per second and peak memory of both implementations, and the ratio.

    Args:
        images: path of `(n, 784)` uint8 images.
        num_images: number of images for the importance-sampled likelihood.
        quick: whether to divide all sizes by a hundred.
    """
    divisor = 100 if quick else 1
    # The rate of the definitions is measured on far fewer images, since they are slow.
    plan = {
        "parzen": ({"num_samples": PARZEN // divisor}, PARZEN // divisor, 100),
        "importance": ({"num_samples": SAMPLES // divisor}, max(10, num_images // divisor), 10),
    }
    results = {}
    for name, (options, tfgen_count, numpy_count) in plan.items():
        results[name] = {"num_samples": options["num_samples"]}
        for way, count in (("tfgen", tfgen_count), ("numpy", numpy_count)):
            with Worker(".evaluation_workers:Evaluation", images=str(images)) as worker:
                before = worker.peak_memory
                _, seconds = worker.call(f"{name}_{way}", num_images=count, **options)
                results[name][way] = {
                    "num_images": count,
                    "seconds": seconds,
                    "images_per_second": count / seconds,
                    "peak_memory": worker.peak_memory,
                    "peak_memory_before": before,
                }
        results[name]["ratio"] = (
            results[name]["tfgen"]["images_per_second"] / results[name]["numpy"]["images_per_second"]
        )
    return results
