#include "wafer/eval/svg.h"

#include <gtest/gtest.h>

#include <cmath>

namespace wafer::eval::svg {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Svg, EscapesEverythingThatCouldBeMarkup) {
  EXPECT_EQ(escape("<a href=\"x\">'&'\x01"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39; ");
}

TEST(Svg, ShortensByCharactersNotBytes) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "ab…");
  EXPECT_EQ(shortened("äöü", 3), "äöü");
  EXPECT_EQ(shortened("äöüß", 3), "äö…");
}

TEST(Svg, Numbers) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(0.25), "0.25");
  EXPECT_EQ(number(1234.5678), "1235");
  EXPECT_EQ(number(0.123456), "0.123");
  EXPECT_EQ(number(1e-6), "1e-06");
  EXPECT_EQ(number(std::nan("")), "unavailable");
}

TEST(Svg, TicksAreRoundAndInside) {
  EXPECT_EQ(ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(ticks(1, 3, 6, true), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(ticks(2, 2, 5), std::vector<double>{2});
  for (double low : {-3.7, 0.001, 12345.0}) {
    for (double tick : ticks(low, low + 0.77, 5)) {
      EXPECT_GE(tick, low - 1e-9);
      EXPECT_LE(tick, low + 0.77 + 1e-9);
    }
  }
}

TEST(Svg, ChartDrawsFinitePointsOnly) {
  Chart chart_of{.title = "loss", .series = {{.name = "a<b", .x = {1, 2, 3}, .y = {1, NAN, 3}}}};
  std::string text = chart(chart_of);
  EXPECT_EQ(count(text, "<circle"), 2u);
  EXPECT_EQ(text.find("nan"), text.npos);
  EXPECT_EQ(text.find("a<b"), text.npos);
  EXPECT_NE(text.find("a&lt;b"), text.npos);
  EXPECT_EQ(count(text, "M"), 2u);  // the line is broken at the gap
}

TEST(Svg, ChartOfNothingOrOnePointIsFinite) {
  for (auto values : {std::vector<double>{}, std::vector<double>{5}, std::vector<double>{5, 5}}) {
    std::string text = chart({.series = {{.x = values, .y = values}}});
    EXPECT_EQ(text.find("nan"), text.npos);
    EXPECT_EQ(text.find("inf"), text.npos);
  }
}

TEST(Svg, HeatMapHasACellForEachPair) {
  HeatMap map{.names = {"a", "b"}, .shares = {1, 0, 0.5, 0.5}, .texts = {"4", "", "2", "2"}};
  std::string text = heat_map(map);
  EXPECT_EQ(count(text, "<rect class=\"good\""), 2u);
  EXPECT_EQ(count(text, "<rect class=\"bad\""), 2u);
  EXPECT_EQ(count(text, "class=\"cell"), 3u);
}

TEST(Svg, BarsScaleToTheLongest) {
  std::string text = bars({.bars = {{"a", 1, "1"}, {"b", 2, "2"}, {"c", 0, "0"}}});
  EXPECT_EQ(count(text, "<rect"), 3u);
  EXPECT_NE(text.find("width=\"0.0\""), text.npos);
}

}  // namespace
}  // namespace wafer::eval::svg
