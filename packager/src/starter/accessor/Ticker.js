// Counts once a second.
exports.setup = function () {
    this.output('count');
};

exports.initialize = function () {
    var self = this;
    var count = 0;
    this.exports.timer = setInterval(function () {
        count += 1;
        self.send('count', count);
    }, 1000);
};

exports.wrapup = function () {
    clearInterval(this.exports.timer);
};
