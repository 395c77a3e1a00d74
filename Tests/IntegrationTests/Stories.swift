import Testing

/// Stories with real processes on the loopback. One at a time: several of them want both cores, and
/// what one of them does to the machine must not look like a fault in another.
@Suite(.serialized) enum Stories {}
