// A dcmjs-dimse client: performs one DIMSE service and prints what came of it as JSON.
'use strict';
const fs = require('fs');
const dcmjsDimse = require('dcmjs-dimse');
const { Client, Implementation, Transcoding } = dcmjsDimse;
const { CEchoRequest, CFindRequest, CGetRequest, CMoveRequest, CStoreRequest } = dcmjsDimse.requests;
const { CStoreResponse } = dcmjsDimse.responses;
const { PresentationContextResult, Status } = dcmjsDimse.constants;

const call = JSON.parse(process.argv[2]);
const facts = [];
const stored = [];

function requests() {
  switch (call.service) {
    case 'C-ECHO':
      return [new CEchoRequest()];
    case 'C-STORE':
      return call.files.map(([syntax, path]) => {
        const request = new CStoreRequest(path);
        request.setAdditionalTransferSyntaxes([syntax]);
        return request;
      });
    case 'C-FIND':
      return [CFindRequest.createStudyFindRequest({ StudyInstanceUID: call.study, PatientID: '' })];
    case 'C-GET':
      return [CGetRequest.createStudyGetRequest(call.study)];
    case 'C-MOVE':
      return [CMoveRequest.createStudyMoveRequest(call.destination, call.study)];
    default:
      throw new Error(call.service);
  }
}

function end(event) {
  console.log(JSON.stringify({ event, facts, stored: stored.sort() }));
  process.exit(event === 'closed' ? 0 : 1);
}

async function main() {
  await Transcoding.initializeAsync();
  Implementation.setMaxPduLength(call.pdu);
  const client = new Client();
  for (const request of requests()) {
    request.on('response', (response) => facts.push(response.getStatus()));
    client.addRequest(request);
  }
  client.on('cStoreRequest', (request, callback) => {
    stored.push(request.getAffectedSopInstanceUid());
    const response = CStoreResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  });
  client.on('associationRejected', () => end('rejected'));
  client.on('networkError', (error) => {
    facts.push(String(error.message));
    end('network error');
  });
  client.on('closed', () => end('closed'));
  const options = { associationTimeout: 20000, pduTimeout: 20000 };
  if (call.tls) {
    options.securityOptions = {
      ca: fs.readFileSync(call.tls.ca),
      cert: fs.readFileSync(call.tls.cert),
      key: fs.readFileSync(call.tls.key),
      rejectUnauthorized: true,
    };
  }
  client.send('127.0.0.1', call.port, 'DCMJSSCU', call.called, options);
}

main();
