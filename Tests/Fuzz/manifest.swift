// Stands behind Package.swift in the package that fuzz.py builds: the rooms that FuzzTargets needs
// and no others, each of them watched by libFuzzer and the address sanitizer, and the driver.

import Foundation

/// Edges and comparisons guide libFuzzer; `-sanitize=fuzzer` alone would choose an instrumentation
/// that it no longer reads. Optimised, but with every check of a debug build.
let watched: [SwiftSetting] = [
  .unsafeFlags([
    "-sanitize=address", "-sanitize-coverage=edge,inline-8bit-counters,pc-table,trace-cmp",
    "-assert-config", "Debug",
  ])
]

func names(of target: Target) -> [String] {
  target.dependencies.compactMap { dependency in
    if case .byNameItem(let name, _) = dependency { name } else { nil }
  }
}

var wanted: Set<String> = ["FuzzTargets"]
var isGrowing = true
while isGrowing {
  let more = package.targets.filter { wanted.contains($0.name) }.flatMap(names)
  isGrowing = !wanted.isSuperset(of: more)
  wanted.formUnion(more)
}
package.products = []
package.targets.removeAll { !wanted.contains($0.name) }
for target in package.targets where target.swiftSettings != nil { target.swiftSettings! += watched }
package.targets.append(
  .executableTarget(
    name: "fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Driver",
    swiftSettings: house + [.unsafeFlags(["-sanitize=address"])],
    linkerSettings: [
      .unsafeFlags([
        "-sanitize=address", ProcessInfo.processInfo.environment["LIBFUZZER"]!, "-lstdc++",
      ])
    ]))
