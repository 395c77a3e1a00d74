import Testing

extension Stories {
  /// What could break: what happens only when something fails in the middle. A request that ends
  /// twice or never, an answer of another client, a front door that goes deaf or dies.
  @Suite struct HostileWorld {
    /// System calls fail while clients run. Names of faults of `faults.py` begin with these.
    @Test(arguments: ["accept", "receive", "send", "connect", "socket", "watch", "log", "mixed"])
    func failingSystemCalls(of kind: String) throws {
      let (ending, output) = try run("faults.py", "--only", kind)
      // As automake has it: the test cannot be made here.
      if ending == .exited(77) {
        try Test.cancel("\(output.split(separator: "\n").last ?? "")")
      }
      #expect(ending == .exited(0), "\(output)")
    }

    /// Networks that are slow, cut, break and stall, on both sides.
    @Test(arguments: [1, 2, 3]) func badNetworks(seed: Int) throws {
      let (ending, output) = try run("toxics.py", "--rounds", "1", "--seed", "\(seed)")
      #expect(ending == .exited(0), "\(output)")
    }

    private func run(
      _ script: String, _ words: String...
    ) throws -> (ending: ChildProcess.Ending, output: String) {
      let folder = Folder()
      let process = try ChildProcess(
        ["python3", "\(Programs.package)/Tests/Chaos/\(script)", "--portico", Programs.portico]
          + words, output: folder["output"])
      return (try process.waitForEnd(within: 280), process.output)
    }
  }
}
