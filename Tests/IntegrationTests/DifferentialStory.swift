import Testing

extension Stories {
  /// What could break: a message that we read otherwise than the next server does, which is how
  /// requests are smuggled. The other reader is h11, strict and not ours.
  @Suite struct Differential {
    @Test(arguments: [4, 11, 23]) func neverMoreThanH11(seed: Int) throws {
      let folder = Folder()
      let comparison = try ChildProcess(
        [
          Programs.python, "\(Programs.package)/Tests/Fuzz/against_h11.py", "--verdict",
          Programs.beside("wire-verdict"), "--seed", "\(seed)", "--count", "6000",
        ], output: folder["output"])
      #expect(
        try comparison.waitForEnd(within: 120) == .exited(0), "\(comparison.output.prefix(4_000))")
    }
  }
}
