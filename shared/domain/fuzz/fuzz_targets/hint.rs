//! Whatever bytes come into the inbox, reading them ends in a hint, in a reason, or in an error.
#![no_main]

use domain::event::Channel;
use domain::key::DeliveryId;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let delivery: DeliveryId = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().expect("a valid id");
    let _ = domain::hint::read(delivery, Channel::Webhook, body);
});
