// A dcmjs-dimse target: takes every context, keeps what it is sent as files, finds what it keeps.
'use strict';
const fs = require('fs');
const path = require('path');
const dcmjsDimse = require('dcmjs-dimse');
const { Dataset, Implementation, Scp, Server } = dcmjsDimse;
const { CEchoResponse, CFindResponse, CStoreResponse } = dcmjsDimse.responses;
const { PresentationContextResult, Status, TransferSyntax } = dcmjsDimse.constants;

const serving = JSON.parse(process.argv[2]);
const kept = [];

class Target extends Scp {
  associationRequested(association) {
    association.setMaxPduLength(serving.pdu);
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      // It takes more than a minute to encode RLE again, and answers nobody meanwhile.
      const syntax = context.getTransferSyntaxUids().find((uid) => uid !== TransferSyntax.RleLossless);
      if (syntax === undefined) {
        context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
      } else {
        context.setResult(PresentationContextResult.Accept, syntax);
      }
    }
    this.sendAssociationAccept();
  }

  cEchoRequest(request, callback) {
    const response = CEchoResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  cStoreRequest(request, callback) {
    const dataset = request.getDataset();
    kept.push(dataset);
    dataset.toFile(path.join(serving.directory, `${kept.length}.dcm`));
    const response = CStoreResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  cFindRequest(request, callback) {
    const study = request.getDataset().getElement('StudyInstanceUID');
    const answers = [];
    if (kept.some((dataset) => dataset.getElement('StudyInstanceUID') === study)) {
      const pending = CFindResponse.fromRequest(request);
      pending.setDataset(new Dataset({ StudyInstanceUID: study, PatientID: 'FOUND' }));
      pending.setStatus(Status.Pending);
      answers.push(pending);
    }
    const final = CFindResponse.fromRequest(request);
    final.setStatus(Status.Success);
    callback([...answers, final]);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

Implementation.setMaxPduLength(serving.pdu);
const server = new Server(Target);
server.on('networkError', (error) => console.log(`network error: ${error.message}`));
const options = { associationTimeout: 5000, pduTimeout: 5000 };
if (serving.tls) {
  options.securityOptions = {
    ca: fs.readFileSync(serving.tls.ca),
    cert: fs.readFileSync(serving.tls.cert),
    key: fs.readFileSync(serving.tls.key),
    requestCert: false,
    rejectUnauthorized: false,
  };
}
server.listen(serving.port, options);
