// A real mail server for tests: takes mail over SMTP, parses it as a mail program would, and refuses what it is told to.
import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { waitFor } from './wait.mjs';

export class Mailbox {
  mails = []; // { from, to: [address], raw, parsed }
  refusals = []; // { at: 'sender' | 'recipient' | 'data', code, text, count }

  // options: those of smtp-server; without any: no encryption, nobody has to log in.
  static async start(options = {}, port = 0) {
    const mailbox = new Mailbox();
    mailbox.server = new SMTPServer({
      disabledCommands: ['STARTTLS', 'AUTH'], logger: false, authOptional: true, closeTimeout: 100,
      onMailFrom: (address, session, done) => done(mailbox.#refusal('sender')),
      onRcptTo: (address, session, done) => done(mailbox.#refusal('recipient')),
      onData: (stream, session, done) => {
        mailbox.#take(stream, session).then((error) => done(error ?? null), done);
      },
      ...options,
    });
    mailbox.server.on('error', () => {}); // of connections that a killed worker leaves
    await new Promise((resolve) => mailbox.server.listen(port, '127.0.0.1', resolve));
    mailbox.port = mailbox.server.server.address().port;
    return mailbox;
  }

  get url() { return `smtp://127.0.0.1:${this.port}`; }

  // The next `count` times `at` is reached it is answered with this.
  refuse(at, code, text, count = 1) {
    this.refusals.push({ at, code, text, count });
  }

  #refusal(at) {
    const refusal = this.refusals.find((one) => one.at === at && one.count > 0);
    if (!refusal) return undefined;
    refusal.count--;
    return Object.assign(new Error(refusal.text), { responseCode: refusal.code });
  }

  async #take(stream, session) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const refusal = this.#refusal('data');
    if (refusal) return refusal;
    const raw = Buffer.concat(chunks);
    this.mails.push({
      raw: raw.toString('latin1'), parsed: await simpleParser(raw, { skipTextToHtml: true, skipHtmlToText: true }),
      from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map(({ address }) => address),
    });
    return undefined;
  }

  to(address) { return this.mails.filter((mail) => mail.to.includes(address)); }

  // The first mail to an address, once it is there.
  next(address) {
    return waitFor(() => this.to(address)[0], { what: `a mail to ${address}` });
  }

  stop() {
    return new Promise((resolve) => this.server.close(resolve));
  }
}
