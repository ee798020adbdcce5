#!/usr/bin/env python3
"""Inference of an ONNX file in ONNX Runtime or OpenVINO; the last line is one JSON object."""
import argparse
import json
import time

import numpy


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--framework", choices=("onnxruntime", "openvino"), required=True)
    parser.add_argument("--mode", choices=("f32", "bf16"), default="f32",
                        help="bf16: openvino only")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("model")
    return parser.parse_args()


def onnxruntime_runner(path):
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [x] = session.get_inputs()
    return onnxruntime.__version__, x.shape, lambda value: session.run(None, {x.name: value})


def openvino_runner(path, mode):
    import openvino
    core = openvino.Core()
    compiled = core.compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY",
                                                "INFERENCE_PRECISION_HINT": mode})
    request = compiled.create_infer_request()
    version = openvino.__version__.split("-")[0]
    return version, list(compiled.input(0).shape), lambda value: request.infer([value])


def main():
    options = parse()
    version, shape, run = onnxruntime_runner(options.model) \
        if options.framework == "onnxruntime" else openvino_runner(options.model, options.mode)
    x = numpy.random.default_rng(0).standard_normal(shape, dtype=numpy.float32)
    for _ in range(3):
        run(x)
    seconds = []
    end = time.perf_counter() + options.seconds
    while len(seconds) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        run(x)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"framework": options.framework, "version": version,
                      "ms": float(numpy.median(seconds)) * 1e3, "runs": len(seconds)}))


if __name__ == "__main__":
    main()
