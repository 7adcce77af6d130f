SELECT paylink.attempt_settle('bench', (SELECT b.body FROM bench.batch b WHERE b.n = (SELECT nextval('bench.next_batch'))));
