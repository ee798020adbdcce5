#include "tests/backend_cuda/fixture.h"
#include "wafer/data/decoders.h"
#include "wafer/models/model.h"
#include "wafer/runtime/registry.h"
#include "wafer/train/trainer.h"

// The Trainer on the stub: its step is one graph, and its losses are the cpu device's.
namespace wafer {
namespace {

class CudaTraining : public testing::StubbedDevice {
 protected:
  static std::vector<double> train(const std::shared_ptr<Device>& device, const std::string& name,
                                   const models::Options& options, const data::Splits& data) {
    models::DataSpec spec = models::spec_of(data.train.description());
    models::Model model = models::create(name, options, &spec, 1);
    nn::UnaryModule* module = model.module.get();
    Trainer trainer(
        *module, [module](const Tensor& x) { return (*module)(x); }, model.loss().function,
        std::make_shared<optim::Adam>(optim::Adam{{.lr = 1e-3}}), device);
    FitOptions fit{.epochs = 2, .batch_size = 8, .seed = 1};
    fit.progress = false;
    std::vector<double> losses;
    for (const auto& epoch : trainer.fit(data.train, data.test, fit).epochs) {
      losses.push_back(*epoch.train_loss);
      losses.push_back(*epoch.validation_loss);
    }
    return losses;
  }

  void follows_cpu(const std::string& name, const models::Options& options) {
    data::Splits data = data::draw_shapes({.train_size = 40, .test_size = 16});
    std::vector<double> expected = train(wafer::device("cpu"), name, options, data);
    std::vector<double> got = train(device, name, options, data);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], expected[i], 1e-3 * expected[i]) << "number " << i;
    // Ten steps and evaluations: all but the first ones as graphs.
    EXPECT_GE(stub().count("launch graph"), 9u);
    EXPECT_LE(stub().count("capture"), 4u);
  }
};

TEST_F(CudaTraining, AnMlpFollowsTheCpuStepByStepAsGraphs) {
  follows_cpu("mlp", {{"hidden", "16"}});
}

}  // namespace
}  // namespace wafer
