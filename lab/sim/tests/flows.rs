//! Every call flow in the simulator, over UDP and TCP.

use scenario::{Transport, builtin, run};
use sim::Stage;

#[test]
fn every_flow_holds_in_the_world() {
    for flow in builtin().unwrap_or_else(|problem| panic!("{problem}")) {
        for (transport, seed) in [(Transport::Udp, 1), (Transport::Tcp, 2)] {
            let mut stage = Stage::new(&flow, transport, seed);
            let trace = run(&flow, &mut stage).unwrap_or_else(|failure| panic!("{failure}"));
            println!("{}", trace.text());
        }
    }
}
