import Testing

extension Stories {
  /// What could break: how bytes and frames are understood, and what is believed of them. Every case
  /// of the table is asked of the binary for each pair of protocols, over sockets, by a harness that
  /// knows nothing of our code.
  @Suite struct Conformance {
    @Test func everyCaseOfTheTableHolds() throws {
      let folder = Folder()
      let harness = try ChildProcess(
        [
          "python3", "\(Programs.package)/Tests/Conformance/conformance.py", "--portico",
          Programs.portico,
        ], output: folder["output"])
      let ending = try harness.waitForEnd(within: 280)
      let failures = harness.output.split(separator: "\n").filter { $0.hasPrefix("FAIL") }
      #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
      #expect(ending == .exited(0), "\(harness.output.suffix(2_000))")
    }
  }
}
