#include "wafer/eval/report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/text.h"
#include "wafer/base/error.h"

namespace wafer::eval {
namespace {
using wafer::tests::contains;

Classification three_classes() {
  static const std::vector<double> probabilities = {0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.1, 0.3, 0.6,
                                                    0.6, 0.3, 0.1, 0.1, 0.2, 0.7, 0.5, 0.3, 0.2};
  static const std::vector<int64_t> labels = {0, 1, 2, 1, 2, 0};
  return classification(Scores(probabilities, 3), labels, 2);
}

Report full_report() {
  Report report{.model = "cnn",
                .data = "cifar10",
                .device = "cpu (2 threads)",
                .precision = "f32",
                .created = "2024-05-06 07:08",
                .parameters = 2'122'186,
                .class_names = {"cat", "dog", "bird"}};
  for (int epoch = 1; epoch <= 3; ++epoch) {
    report.epochs.push_back({.epoch = epoch,
                             .train_loss = 2.0 / epoch,
                             .train_accuracy = 0.3 * epoch,
                             .validation_loss = 2.1 / epoch,
                             .validation_accuracy = 0.2 * epoch,
                             .seconds = 10});
  }
  report.train_seconds = 30;
  report.step_seconds = 0.012;
  report.predicted_step_seconds = 0.010;
  report.samples_per_second = 5000;
  report.memory = {.parts = {{"parameters", 8e6}, {"activations", 4e6}},
                   .planned_bytes = 12e6,
                   .measured_bytes = 12.3e6};
  report.selection = {{.device = "cpu",
                       .precision = "f32",
                       .threads = 2,
                       .step_seconds = 0.01,
                       .memory_bytes = 12e6,
                       .chosen = true,
                       .remark = "fastest"},
                      {.device = "cuda", .remark = "no driver"}};
  report.splits = {{"train", 45000, 0.5, 0.83}, {"test", 6, 0.9, 0.8}};
  report.classification = three_classes();
  report.worst = {{.index = 3,
                   .label = 1,
                   .predicted = 0,
                   .probability = 0.6,
                   .label_probability = 0.3,
                   .name = "dog/17.png",
                   .png = "\x89PNG"}};
  report.profile = {.device = "cpu",
                    .peak_gflops = 100,
                    .steps = 1,
                    .nodes = {{"conv", "cnn.conv1", "conv2d", "onednn", 1, 0.01, 5e8, 1e6}}};
  report.environment = {{"CPU", "Xeon"}, {"commit", ""}};
  report.settings = {{"lr", "0.001"}};
  return report;
}

// Every opened element is closed in order, and '<' occurs in markup only.
std::string unbalanced(const std::string& html) {
  static const std::vector<std::string> empty = {"meta", "img", "br"};
  std::vector<std::string> open;
  for (size_t at = html.find('<'); at != html.npos; at = html.find('<', at)) {
    size_t end = html.find('>', at);
    if (end == html.npos) return "no end of a tag";
    std::string tag = html.substr(at + 1, end - at - 1);
    at = end;
    if (tag[0] == '!' || tag.back() == '/') continue;
    bool closing = tag[0] == '/';
    std::string name;
    for (size_t i = closing; i < tag.size() && std::isalnum(static_cast<unsigned char>(tag[i]));
         ++i) {
      name += tag[i];
    }
    if (closing) {
      if (open.empty() || open.back() != name) return "</" + name + "> does not match";
      open.pop_back();
    } else if (std::find(empty.begin(), empty.end(), name) == empty.end()) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : open.back() + " stays open";
}

TEST(Report, PageIsBalancedSelfContainedAndFinite) {
  std::string html = full_report().html();
  EXPECT_EQ(unbalanced(html), "");
  for (const char* part :
       {"http://", "https://", "<script", "<link", "@import", "url(", "nan", ">inf"}) {
    EXPECT_FALSE(contains(html, part)) << part;
  }
}

TEST(Report, HasEverySectionThatItHasDataFor) {
  std::string html = full_report().html();
  for (const char* id :
       {"training", "results", "confusion", "classes", "curves", "calibration", "worst", "time",
        "layers", "memory", "selection", "settings", "environment"}) {
    EXPECT_TRUE(contains(html, std::string("<section id=\"") + id + "\"")) << id;
  }
  EXPECT_FALSE(contains(html, "<section id=\"regression\""));
  EXPECT_TRUE(contains(html, "data:image/png;base64,iVBORw==\""));
  EXPECT_TRUE(contains(html, "cpu (chosen)"));
}

TEST(Report, EmptyReportHasNoSectionsAndNoInventedNumbers) {
  Report report{.model = "cnn"};
  std::string html = report.html();
  EXPECT_EQ(unbalanced(html), "");
  EXPECT_FALSE(contains(html, "<section"));
  EXPECT_FALSE(contains(html, "class=\"tile\""));
  EXPECT_EQ(report.verdict(), "The model cnn was evaluated.");
}

TEST(Report, MissingNumbersReadUnavailable) {
  Report report{.splits = {{.name = "test", .examples = 5}}};
  std::string html = report.html();
  EXPECT_TRUE(contains(html, "unavailable"));
  report = full_report();
  report.epochs[1].validation_loss.reset();
  report.memory->measured_bytes.reset();
  html = report.html();
  EXPECT_TRUE(contains(html, "The measured peak is unavailable."));
  EXPECT_EQ(unbalanced(html), "");
}

// Every text of a report comes from files and options that a stranger may have written.
TEST(Report, NamesCannotBecomeMarkup) {
  const std::string evil = "<script>alert('x')</script>\"><img src=x onerror=y>";
  Report report = full_report();
  report.model = report.data = report.device = report.precision = report.created = evil;
  report.evaluated_split = evil;
  report.class_names = {evil, evil + "2", evil + "3"};
  report.splits[0].name = evil;
  report.worst[0].name = evil;
  report.selection[0].device = report.selection[0].precision = report.selection[0].remark = evil;
  report.memory->parts[0].first = evil;
  report.profile->device = report.profile->nodes[0].module = report.profile->nodes[0].kernel = evil;
  report.environment = report.settings = {{evil, evil}};
  report.notes = {evil};
  std::string html = report.html();
  EXPECT_FALSE(contains(html, "<script"));
  EXPECT_FALSE(contains(html, "<img src=x"));
  EXPECT_TRUE(contains(html, "&lt;script&gt;alert(&#39;x&#39;)"));
  EXPECT_EQ(unbalanced(html), "");
}

TEST(Report, VerdictTellsTheOutcomeInWords) {
  std::string text = full_report().verdict();
  EXPECT_TRUE(contains(text,
                       "The model cnn (2,122,186 parameters) was trained on cifar10 for 3 epochs "
                       "in 30.0 s on cpu (2 threads) in f32."))
      << text;
  EXPECT_TRUE(contains(text,
                       "It gets 83.3 % of the 6 test examples right (95 % confidence interval 43.6 "
                       "to 97.0 %)"))
      << text;
  EXPECT_TRUE(contains(text, "most frequent class would get 33.3 %")) << text;
  EXPECT_TRUE(contains(text, "take dog for cat (50 % of that class)")) << text;
  EXPECT_TRUE(contains(text, "it overfits")) << text;
  EXPECT_TRUE(contains(text, "12.00 ms, 20 % more than the 10.00 ms predicted")) << text;
  EXPECT_TRUE(contains(text, "11.7 MiB of memory, 2 % more than the plan of 11.4 MiB")) << text;
}

TEST(Report, RegressionHasItsOwnSection) {
  Report report{.model = "mlp"};
  std::vector<double> target = {1, 2, 3, 4}, predicted = {1.1, 1.9, 3.2, 3.8};
  report.regression = regression(predicted, target);
  for (size_t i = 0; i < target.size(); ++i) report.scatter.emplace_back(target[i], predicted[i]);
  std::string html = report.html();
  EXPECT_EQ(unbalanced(html), "");
  EXPECT_TRUE(contains(html, "<section id=\"regression\""));
  EXPECT_TRUE(contains(html, "Predicted against true value"));
  EXPECT_TRUE(contains(report.verdict(), "explains 98.0 % of the variance")) << report.verdict();
  EXPECT_FALSE(contains(html, "<section id=\"confusion\""));
}

TEST(Report, ManyClassesStaySmall) {
  constexpr int64_t classes = 150;
  std::vector<double> probabilities(classes * classes, 0.5 / (classes - 1));
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < classes; ++i) {
    probabilities[static_cast<size_t>(i * classes + (i % 3 == 0 ? (i + 1) % classes : i))] = 0.5;
    labels.push_back(i);
  }
  Report report;
  report.classification = classification(Scores(probabilities, classes), labels);
  std::string html = report.html();
  EXPECT_LT(html.size(), 400'000u);
  EXPECT_TRUE(contains(html, "Most frequent mistakes"));
  EXPECT_TRUE(contains(html, "ten classes with the smallest area"));
  EXPECT_EQ(unbalanced(html), "");
}

TEST(Report, JsonHoldsTheNumbers) {
  Report report = full_report();
  auto json = nlohmann::json::parse(report.json());
  EXPECT_EQ(json["model"], "cnn");
  EXPECT_EQ(json["epochs"].size(), 3u);
  EXPECT_EQ(json["epochs"][1]["train_loss"], 1.0);
  EXPECT_DOUBLE_EQ(json["classification"]["accuracy"].get<double>(), 5.0 / 6);
  EXPECT_EQ(json["classification"]["confusion"][1], (std::vector<int>{1, 1, 0}));
  EXPECT_EQ(json["classification"]["per_class"][2]["name"], "bird");
  EXPECT_EQ(json["splits"]["test"]["accuracy"], 0.8);
  EXPECT_EQ(json["selection"][0]["chosen"], true);
  EXPECT_FALSE(json["selection"][1].contains("step_seconds"));
  EXPECT_FALSE(json.contains("regression"));
  EXPECT_EQ(json["profile"]["layers"][0]["name"], "cnn.conv1");
  EXPECT_EQ(json["memory"]["parts"]["parameters"], 8e6);
}

TEST(Report, JsonSurvivesNamesThatAreNoUtf8) {
  Report report{.model = "bad \xff name"};
  EXPECT_TRUE(nlohmann::json::accept(report.json()));
}

TEST(Report, WritesTheFile) {
  auto folder =
      std::filesystem::path(::testing::TempDir()) / ("wafer_report" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  Report report = full_report();
  report.write((folder / "report.html").string());
  std::ifstream in(folder / "report.html", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(text, report.html());
  EXPECT_THROW(report.write((folder / "none" / "report.html").string()), UserError);
  std::filesystem::remove_all(folder);
}

TEST(WorstExamples, AreTheWrongOnesLeastLikelyFirst) {
  std::vector<double> p = {0.6, 0.4, 0.9, 0.1, 0.2, 0.8, 0.7, 0.3};
  std::vector<int64_t> labels = {1, 1, 1, 1};
  auto worst = worst_examples(Scores(p, 2), labels, 2);
  ASSERT_EQ(worst.size(), 2u);
  EXPECT_EQ(worst[0].index, 1);
  EXPECT_EQ(worst[1].index, 3);
  EXPECT_EQ(worst[0].predicted, 0);
  EXPECT_DOUBLE_EQ(worst[0].probability, 0.9);
  EXPECT_DOUBLE_EQ(worst[0].label_probability, 0.1);
}

}  // namespace
}  // namespace wafer::eval
