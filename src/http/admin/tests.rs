mod accounts;
mod auth;
mod bench;
mod contract;
mod keys;
mod oem;
mod usage;
