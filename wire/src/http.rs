//! A small HTTP/1.1 client on hyper: one kept-alive connection to one origin, with limits on size and time.
