import FuzzTargets
import Glibc

// The fuzzer of all targets: `fuzz TARGET [options of libFuzzer] [folders of inputs]`.

/// libFuzzer's own loop (FuzzerInterface.h), from the library that comes without a `main`.
@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
  _ count: UnsafeMutablePointer<Int32>,
  _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ run: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

nonisolated(unsafe) var target = FuzzTarget.all[0]

// To merge corpora libFuzzer starts this program again, with its own options alone: which target it
// was about stands in the environment.
let first = CommandLine.arguments.dropFirst().first ?? ""
let isAgain = first.hasPrefix("-")
let name = isAgain ? getenv("FUZZ_TARGET").map { String(cString: $0) } : first

guard let wanted = FuzzTarget.all.first(where: { $0.name == name }) else {
  print("usage: fuzz TARGET [options of libFuzzer] [folders of inputs]; targets:")
  for target in FuzzTarget.all { print(target.name) }
  exit(2)
}
target = wanted
setenv("FUZZ_TARGET", wanted.name, 1)

// The target's name is no word for libFuzzer: the program's own takes its place.
let skipped = isAgain ? 0 : 1
var count = CommandLine.argc - Int32(skipped)
var words = CommandLine.unsafeArgv + skipped
words[0] = CommandLine.unsafeArgv[0]
exit(
  runDriver(&count, &words) { bytes, count in
    do {
      try target.run(UnsafeRawBufferPointer(start: bytes, count: count))
    } catch {
      fatalError("\(target): \(error)")
    }
    return 0
  })
