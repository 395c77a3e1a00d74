import Glibc

func exponential(_ x: Double) -> Double { exp(x) }
func logarithm(_ x: Double) -> Double { log(x) }
func errorFunction(_ x: Double) -> Double { erf(x) }
func pause(microseconds: UInt32) { usleep(microseconds) }
