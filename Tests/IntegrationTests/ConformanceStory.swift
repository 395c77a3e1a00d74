import Testing

extension Stories {
  /// What could break: how bytes and frames are understood, and what is believed of them. Every case
  /// of the table is asked of the binary for each pair of protocols, over sockets, by a harness that
  /// knows nothing of our code.
  @Suite struct Conformance {
    /// Groups whose cases are about load and time, or have a polite client beside a flood. The harness
    /// and everything beside it share two cores: where it was starved itself, it asks again, with nothing
    /// else under way.
    private static let patient: Set<Character> = ["J", "K", "P", "R"]

    @Test func everyCaseOfTheTableHolds() throws {
      var (failures, ending, output) = try ask([])
      let names = failures.map { $0.dropFirst("FAIL ".count).prefix { $0 != "/" && $0 != ":" } }
      if !names.isEmpty, names.allSatisfy({ Self.patient.contains($0.first ?? "?") }) {
        (failures, ending, output) = try ask(["--only", Set(names).joined(separator: ",")])
      }
      #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
      #expect(ending == .exited(0), "\(output.suffix(2_000))")
    }

    private func ask(_ words: [String]) throws -> ([Substring], ChildProcess.Ending, String) {
      let folder = Folder()
      let harness = try ChildProcess(
        [
          "python3", "\(Programs.package)/Tests/Conformance/conformance.py", "--portico",
          Programs.portico,
        ] + words, output: folder["output"])
      let ending = try harness.waitForEnd(within: 280)
      let failures = harness.output.split(separator: "\n").filter { $0.hasPrefix("FAIL") }
      return (failures, ending, harness.output)
    }
  }
}
