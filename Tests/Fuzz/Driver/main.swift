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

guard CommandLine.arguments.count > 1,
  let wanted = FuzzTarget.all.first(where: { $0.name == CommandLine.arguments[1] })
else {
  print("usage: fuzz TARGET [options of libFuzzer] [folders of inputs]; targets:")
  for target in FuzzTarget.all { print(target.name) }
  exit(2)
}
target = wanted

// The target's name is no word for libFuzzer: the program's own takes its place.
var count = CommandLine.argc - 1
var words = CommandLine.unsafeArgv + 1
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
