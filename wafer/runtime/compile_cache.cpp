#include "wafer/runtime/compile_cache.h"

#include <list>
#include <mutex>
#include <unordered_map>

namespace wafer {

namespace {
// Old entries go when there are more: a program that makes ever new shapes must not grow without
// bound.
constexpr size_t capacity = 1024;

struct Entry {
  size_t key;
  const Device* device;
  CompileOptions options;
  Graph graph;
  std::shared_ptr<const Artifact> artifact;
};

struct Cache {
  std::mutex mutex;
  std::list<Entry> entries;  // most recently used first
  std::unordered_multimap<size_t, std::list<Entry>::iterator> by_key;
  size_t hits = 0, misses = 0;
};

Cache& cache() {
  static Cache instance;
  return instance;
}
}  // namespace

std::shared_ptr<const Artifact> compile_cached(Device& device, const Graph& graph,
                                               const CompileOptions& options) {
  Cache& c = cache();
  size_t key = hash(graph);
  {
    std::lock_guard lock(c.mutex);
    auto [begin, end] = c.by_key.equal_range(key);
    for (auto it = begin; it != end; ++it) {
      const Entry& entry = *it->second;
      if (entry.device == &device && entry.options == options &&
          structurally_equal(entry.graph, graph)) {
        ++c.hits;
        c.entries.splice(c.entries.begin(), c.entries, it->second);
        return entry.artifact;
      }
    }
    ++c.misses;
  }
  auto artifact = device.target().compile(graph, options);
  std::lock_guard lock(c.mutex);
  c.entries.push_front({key, &device, options, graph, artifact});
  c.by_key.emplace(key, c.entries.begin());
  if (c.entries.size() > capacity) {
    auto last = std::prev(c.entries.end());
    auto [begin, end] = c.by_key.equal_range(last->key);
    for (auto it = begin; it != end; ++it) {
      if (it->second == last) {
        c.by_key.erase(it);
        break;
      }
    }
    c.entries.erase(last);
  }
  return artifact;
}

CompileCacheStatistics compile_cache_statistics() {
  Cache& c = cache();
  std::lock_guard lock(c.mutex);
  return {c.hits, c.misses, c.entries.size()};
}

void clear_compile_cache() {
  Cache& c = cache();
  std::lock_guard lock(c.mutex);
  c.by_key.clear();
  c.entries.clear();
}

}  // namespace wafer
