"""The lints of scripts/ find what they promise to find, and nothing else."""
import unittest

import lint_files
import lint_layers


class Layers(unittest.TestCase):
    def ok(self, path, included):
        self.assertEqual(lint_layers.complaint(path, included), "", f"{path} -> {included}")

    def bad(self, path, included):
        self.assertNotEqual(lint_layers.complaint(path, included), "", f"{path} -> {included}")

    def test_a_folder_includes_what_is_below_it(self):
        self.ok("wafer/op/conv.cpp", "wafer/ir/node.h")
        self.ok("wafer/cli/train.cpp", "wafer/base/error.h")
        self.bad("wafer/base/error.cpp", "wafer/io/file.h")
        self.bad("wafer/runtime/device.cpp", "wafer/pass/lower.h")

    def test_modules_and_optimisers_stand_side_by_side(self):
        self.ok("wafer/nn/linear.cpp", "wafer/optim/adam.h")
        self.ok("wafer/optim/adam.cpp", "wafer/nn/module.h")

    def test_backends_are_leaves(self):
        self.ok("wafer/backend/all.cpp", "wafer/backend/cpu/cpu.h")
        self.ok("wafer/backend/cpu/simd/gemm.cpp", "wafer/backend/cpu/isa.h")
        self.bad("wafer/backend/cpu/conv.cpp", "wafer/backend/reference/array.h")
        self.bad("wafer/tensor/eval.cpp", "wafer/backend/cpu/cpu.h")
        self.bad("wafer/cli/devices.cpp", "wafer/backend/cpu/isa.h")

    def test_the_umbrella_header_is_for_users(self):
        self.ok("examples/cifar10.cpp", "wafer/wafer.h")
        self.ok("wafer/wafer.h", "wafer/train/trainer.h")
        self.bad("wafer/wafer.h", "wafer/backend/cpu/isa.h")
        self.bad("wafer/nn/linear.cpp", "wafer/wafer.h")

    def test_an_unknown_folder_is_an_error(self):
        self.bad("wafer/misc/a.cpp", "wafer/base/error.h")
        self.bad("wafer/cli/a.cpp", "wafer/misc/a.h")


class Files(unittest.TestCase):
    def found(self, path, text):
        return [message for _, message in lint_files.findings(path, text)]

    def test_clean(self):
        self.assertEqual(self.found("a.cpp", "int a;  // https://example.org/a/x\n"), [])
        self.assertEqual(self.found("a.md", "x" * 300 + "\n"), [])

    def test_lines_and_columns(self):
        self.assertEqual(len(self.found("a.h", "int a;\n" * 801)), 1)
        self.assertEqual(len(self.found("a.h", "int a;\n" * 800)), 0)
        self.assertEqual(len(self.found("a.py", "#" * 101 + "\n")), 1)
        self.assertEqual(len(self.found("a.py", "#" * 100 + "\n")), 0)

    def test_blanks(self):
        self.assertEqual(len(self.found("a.h", "int a; \n")), 1)
        self.assertEqual(len(self.found("a.h", "\tint a;\n")), 1)
        self.assertEqual(len(self.found("a.h", "int a;")), 1)

    def test_words(self):
        self.assertEqual(len(self.found("a.md", "TO" "DO: write\n")), 1)
        self.assertEqual(len(self.found("a.md", "see /ho" "me/ann/x\n")), 1)


if __name__ == "__main__":
    unittest.main()
