//! Parsing any bytes from the inbox returns a hint, a reason to ignore them, or an error. It never panics.
#![no_main]

use domain::event::Channel;
use domain::key::DeliveryId;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let delivery: DeliveryId = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().expect("a valid id");
    let _ = domain::hint::read(delivery, Channel::Webhook, body);
});
