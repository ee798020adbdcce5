#include <wafer/wafer.h>
using namespace wafer;

struct Cnn : nn::Module {
  nn::Conv2d conv1{{.in = 3, .out = 32, .kernel = 3, .padding = 1}};
  nn::Conv2d conv2{{.in = 32, .out = 64, .kernel = 3, .padding = 1}};
  nn::Linear fc1{64 * 8 * 8, 512}, fc2{512, 10};
  Cnn() { add("conv1", conv1), add("conv2", conv2), add("fc1", fc1), add("fc2", fc2); }

  Tensor forward(const Tensor& x) {
    Tensor h = max_pool2d(relu(conv1(x)), 2);
    h = max_pool2d(relu(conv2(h)), 2);
    return fc2(relu(fc1(flatten(h, 1))));
  }
};

int main() {
  auto data = data::load("cifar10", "data/cifar10").split({.validation = 0.1, .seed = 0});
  Cnn model;
  auto choice = select::best(model, data.train, {.objective = select::Throughput});
  Trainer trainer{model, nn::cross_entropy, optim::Adam{{.lr = 1e-3}}, choice.device};
  trainer.fit(data.train, data.validation,
              {.epochs = 10, .batch_size = 64, .precision = choice.precision});
  eval::Report report = trainer.evaluate(data.test);
  report.write("report.html");
}
